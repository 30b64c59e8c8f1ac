//! [`Case`]: sizes, counts, protocols and readers, and which of them are tried together.

use std::{fmt, iter::repeat_n};

use sse_tests::traffic::LARGEST;

/// So many events of one size, to one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) count: usize,
    pub(crate) len: usize,
    pub(crate) protocol: Protocol,
    pub(crate) reader: Reader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// As fast as it can.
    Quick,
    /// Little at a time through a small window.
    Slow,
    /// Goes away in the middle.
    Leaver,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, len, protocol, reader } = self;
        write!(f, "{count} x {len} bytes over {protocol:?} to a {reader:?}")
    }
}

/// Where servers' buffers end.
const EDGES: [usize; 3] = [4 << 10, 8 << 10, 16 << 10];

/// Counts that together with an odd size have met an edge before.
const COUNTS: [usize; 11] = [1, 2, 3, 4, 5, 8, 12, 13, 20, 38, 40];

/// Many small ones: count and size.
const MANY: [(usize, usize); 4] = [(2000, 0), (2000, 1), (2000, 20), (300, 20)];

/// Every size with every count, protocol and reader. It takes about an hour.
pub(crate) fn all() -> Vec<Case> {
    let sizes = (0..64).chain((64..LARGEST).step_by(250)).chain([LARGEST]).chain(beside_edges());
    let counted = sizes.flat_map(|len| (1..=40).map(move |count| (count, len)));
    let mut cases = Vec::new();
    for (count, len) in MANY.into_iter().chain(counted) {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let few = COUNTS.contains(&count) || count > 40;
            let readers = [Reader::Quick, Reader::Slow, Reader::Leaver];
            let readers = readers.into_iter().take(if few { 3 } else { 1 });
            cases.extend(readers.map(|reader| Case { count, len, protocol, reader }));
        }
    }
    cases
}

/// Every size beside an edge, once alone and once with a count that goes round; few of the others; protocols and
/// readers by turns.
pub(crate) fn some() -> Vec<Case> {
    let sizes = [0, 1, 3, 20, 64, 100, 300, 500, 1000, 1365, 2000, 3000, 5000, 8000, 10_000, 12_000, LARGEST];
    let others = COUNTS.into_iter().flat_map(|count| sizes.map(|len| (count, len)));
    let beside = beside_edges().enumerate();
    let beside = beside.flat_map(|(index, len)| [(1, len), (2 + index * 7 % 39, len)]);
    // Few are slow, and few leave: they take time. Those by turns never fall in with a rhythm of the sizes.
    let quick = repeat_n(Reader::Quick, 9);
    let readers = quick.chain([Reader::Slow, Reader::Leaver]).collect::<Vec<_>>();
    let protocols = [Protocol::Http1, Protocol::Http2, Protocol::Http1];
    let counted = MANY.into_iter().chain(others).chain(beside).enumerate();
    counted
        .map(|(index, (count, len))| Case {
            count,
            len,
            protocol: protocols[index % protocols.len()],
            reader: readers[index % readers.len()],
        })
        .collect()
}

/// Every size with which an event, its framing and its stream's opening end near an edge. The framing of an event
/// has between 8 and 50 bytes, the opening 14, a chunk's head and end 10.
fn beside_edges() -> impl Iterator<Item = usize> {
    EDGES.into_iter().flat_map(|edge| edge - 88..=edge + 8)
}
