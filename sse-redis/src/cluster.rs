//! [`Cluster`]: which server of a Redis Cluster has the log.

use std::sync::{Mutex, PoisonError};

use redis::Value;

use crate::{answer, node::Node, trouble::Trouble};

/// Of the servers that were told, so many are remembered beside those of the log's own slot.
const MAX_OTHERS: usize = 32;

/// Whom to ask for the server that has the log.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The log's own.
    slot: u16,
    /// Those that the application knows. Their names may lead to other servers later.
    seeds: Vec<Node>,
    /// Those that were told of, the most trusted first.
    known: Mutex<Vec<Node>>,
}

/// What one of them says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// By whom.
    pub(crate) by: Node,
    /// Where the log is.
    pub(crate) primary: Node,
    replicas: Vec<Node>,
    others: Vec<Node>,
}

impl Cluster {
    pub(crate) fn new(slot: u16, seeds: Vec<Node>) -> Self {
        Self { slot, seeds, known: Mutex::default() }
    }

    /// Whom to ask, in this order.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let mut nodes = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for seed in &self.seeds {
            push_new(&mut nodes, seed.clone());
        }
        nodes
    }

    pub(crate) fn seeds(&self) -> &[Node] {
        &self.seeds
    }

    /// What this one says, which was asked for `CLUSTER SLOTS`.
    pub(crate) fn told(&self, by: Node, answer: Value) -> Result<Told, Trouble> {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for range in answer::list(answer)? {
            let mut parts = answer::list(range)?.into_iter();
            let mut bound = || answer::number(parts.next().unwrap_or(Value::Nil));
            let slots = bound()?..=bound()?;
            let nodes = parts.map(|node| endpoint(node, &by)).collect::<Result<Vec<_>, _>>()?;
            if slots.contains(&self.slot.into()) { own = nodes } else { others.extend(nodes) }
        }
        // The primary is the first.
        let mut own = own.into_iter();
        let primary = own.next().ok_or(Trouble::NotServed(self.slot))?;
        let primary = primary.ok_or(Trouble::Unexpected("a primary without an address"))?;
        let (replicas, others) = (own.flatten().collect(), others.into_iter().flatten().collect());
        Ok(Told { by, primary, replicas, others })
    }

    /// Asks these first from now on: the primary, which knows when it is none any more, then those that may follow it.
    pub(crate) fn learn(&self, told: &Told) {
        let mut known = Vec::new();
        let nodes = [&told.primary].into_iter().chain(&told.replicas).chain([&told.by]);
        for node in nodes.chain(told.others.iter().take(MAX_OTHERS)) {
            push_new(&mut known, node.clone());
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Asks this one last from now on: it is gone, or knows less than others.
    pub(crate) fn doubt(&self, node: &Node) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = known.iter().position(|other| other == node) {
            let node = known.remove(at);
            known.push(node);
        }
    }
}

fn push_new(nodes: &mut Vec<Node>, node: Node) {
    if !nodes.contains(&node) {
        nodes.push(node);
    }
}

/// Where a server wants to be reached; none where it does not say. Without a host of its own it is where the one is that
/// told of it.
fn endpoint(node: Value, by: &Node) -> Result<Option<Node>, Trouble> {
    let mut parts = answer::list(node)?.into_iter();
    let (host, port) = (parts.next().unwrap_or(Value::Nil), parts.next().unwrap_or(Value::Nil));
    let host = if host == Value::Nil { String::new() } else { answer::text(host)? };
    let port = u16::try_from(answer::number(port)?).map_err(|_| Trouble::Unexpected("a port"))?;
    let host = match host.as_str() {
        "" => by.host.clone(),
        // It is to have a name, and was given none.
        "?" => match parts.nth(1).map(ip).transpose()?.flatten() {
            Some(ip) => ip,
            None => return Ok(None),
        },
        _ => host,
    };
    Ok(Some(Node { host, port }))
}

/// What is said beside an endpoint that is no address.
fn ip(metadata: Value) -> Result<Option<String>, Trouble> {
    let words = match metadata {
        Value::Map(pairs) => pairs.into_iter().flat_map(|(name, value)| [name, value]).collect(),
        metadata => answer::list(metadata)?,
    };
    let mut words = words.into_iter();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        if answer::text(name)? == "ip" {
            return Ok(Some(answer::text(value)?).filter(|ip| !ip.is_empty()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn list(items: impl Into<Vec<Value>>) -> Value {
        Value::Array(items.into())
    }

    fn member(host: Value, port: i64, metadata: &[&str]) -> Value {
        list([
            host,
            Value::Int(port),
            text("id"),
            list(metadata.iter().map(|word| text(word)).collect::<Vec<_>>()),
        ])
    }

    fn range(from: i64, to: i64, nodes: &[Value]) -> Value {
        list([&[Value::Int(from), Value::Int(to)], nodes].concat())
    }

    fn node(name: &str, port: u16) -> Node {
        Node { host: name.into(), port }
    }

    fn three() -> Value {
        list([
            range(0, 99, &[member(text("a"), 1, &[]), member(text("d"), 4, &[])]),
            range(100, 199, &[member(text("b"), 2, &[]), member(text("e"), 5, &[])]),
            range(200, 16383, &[member(text("c"), 3, &[])]),
        ])
    }

    #[test]
    fn the_primary_of_the_slot_and_who_may_follow_it_are_asked_first() {
        let cluster = Cluster::new(150, vec![node("seed", 7)]);
        assert_eq!(cluster.nodes(), [node("seed", 7)]);
        let told = cluster.told(node("seed", 7), three()).unwrap();
        assert_eq!(told.primary, node("b", 2));
        cluster.learn(&told);
        let names = || cluster.nodes().iter().map(|node| node.host.clone()).collect::<String>();
        assert_eq!(names(), "beseedadc");
        cluster.doubt(&node("b", 2));
        assert_eq!(names(), "eseedadcb");
        // It is known no more, and asked all the same.
        cluster.learn(&cluster.told(node("e", 5), three()).unwrap());
        assert_eq!(names(), "beadcseed");
    }

    #[test]
    fn bounds_belong_to_their_range() {
        for (slot, host) in [(0, "a"), (99, "a"), (100, "b"), (199, "b"), (200, "c"), (16383, "c")] {
            let told = Cluster::new(slot, Vec::new()).told(node("x", 1), three()).unwrap();
            assert_eq!(told.primary.host, host, "{slot}");
        }
        let uncovered = list([range(0, 99, &[member(text("a"), 1, &[])])]);
        let trouble = Cluster::new(100, Vec::new()).told(node("x", 1), uncovered).unwrap_err();
        assert!(matches!(trouble, Trouble::NotServed(100)), "{trouble:?}");
    }

    #[test]
    fn one_without_a_host_is_where_it_was_told_of() {
        let primary = |member| {
            let answer = list([range(0, 16383, &[member])]);
            Cluster::new(7, Vec::new()).told(node("asked", 9), answer).map(|told| told.primary)
        };
        assert_eq!(primary(member(Value::Nil, 1, &[])).unwrap(), node("asked", 1));
        assert_eq!(primary(member(text(""), 1, &[])).unwrap(), node("asked", 1));
        assert_eq!(primary(member(text("?"), 1, &["ip", "10.0.0.1"])).unwrap(), node("10.0.0.1", 1));
        assert!(matches!(primary(member(text("?"), 1, &[])), Err(Trouble::Unexpected(_))));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let cluster = Cluster::new(7, Vec::new());
        for answer in [
            text("slots"),
            list([text("x")]),
            list([list([Value::Int(0)])]),
            list([list([Value::Int(0), Value::Int(-1)])]),
            list([range(0, 16383, &[list([])])]),
            list([range(0, 16383, &[member(text("a"), 70_000, &[])])]),
            list([range(0, 16383, &[member(Value::Int(1), 1, &[])])]),
            list([range(0, 16383, &[])]),
            list([]),
        ] {
            assert!(cluster.told(node("x", 1), answer.clone()).is_err(), "{answer:?}");
        }
    }
}
