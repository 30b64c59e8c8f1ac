//! Who sleeps, and how they are woken.
//!
//! Publishing only marks a topic. Tasks of their own then wake its subscribers a few at a time, so that neither a
//! publisher nor a runtime thread stands still for a crowd; those that come late find several events to send at
//! once.

mod sleepers;
mod slot;
mod task;
mod topics;

pub(super) use self::{
    sleepers::{Next, Sleepers},
    slot::{GroupId, Slot},
    task::{News, Spawn, TASKS, Wakes},
};
