//! DNS questions as bytes (RFC 1035 §4.1): what the resolver may ask its upstream. Compared in the kernel, byte for byte, so that
//! nothing but an allowed name leaves, whatever the resolver was talked into: no label below it, no other record type,
//! no pattern of capitals.

use super::WILD_LABEL;
use serde_json::{Value, json};

/// The only record types that are asked for: A, and AAAA (which the resolver then keeps to itself).
const TYPES: [u8; 2] = [1, 28];
/// Bits from the start of the UDP header: QDCOUNT, ANCOUNT, NSCOUNT; then, after ARCOUNT, the question.
const COUNTS: u32 = 96;
const QUESTION: u32 = 160;
/// Bytes of the UDP and DNS headers, and room for an OPT record with a cookie after the question (RFC 6891, 7873).
const HEADERS: usize = 20;
const OPT_ROOM: usize = 40;
/// What the kernel compares at once.
const CHUNK: usize = 16;

/// For each question that is allowed, the matches a packet must fulfil.
pub(super) fn allowed(name: &str) -> Vec<Vec<Value>> {
    let of = |lead: Option<u8>, kind: u8| {
        let (rest, skipped) = match (name.strip_prefix("*."), lead) {
            (Some(parent), Some(length)) => (parent, 1 + u32::from(length)),
            _ => (name, 0),
        };
        let mut question = wire(rest);
        question.extend([0, kind, 0, 1]);
        let longest = HEADERS + usize::try_from(skipped).unwrap_or(0) + question.len() + OPT_ROOM;
        let mut matches = vec![
            json!({"match": {"op": "<=", "left": {"payload": {"protocol": "udp", "field": "length"}}, "right": longest}}),
            raw(COUNTS, &[0, 1, 0, 0, 0, 0]),
        ];
        matches.extend(lead.map(|length| raw(QUESTION, &[length])));
        let mut at = QUESTION + 8 * skipped;
        for chunk in question.chunks(CHUNK) {
            matches.push(raw(at, chunk));
            at += 128;
        }
        matches
    };
    let leads: Vec<Option<u8>> = if name.starts_with("*.") { (1..=WILD_LABEL).map(Some).collect() } else { vec![None] };
    leads.into_iter().flat_map(|lead| TYPES.map(|kind| of(lead, kind))).collect()
}

/// Labels with their lengths, and the empty one at the end.
fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// At most 16 bytes at a bit offset of the transport header, spelled as nft lists them again.
fn raw(offset: u32, bytes: &[u8]) -> Value {
    let number = bytes.iter().fold(0_u128, |n, b| n << 8 | u128::from(*b));
    let right = u64::try_from(number).map_or_else(|_| json!(format!("{number:#x}")), |small| json!(small));
    json!({"match": {"op": "==", "left": {"payload": {"base": "th", "offset": offset, "len": 8 * bytes.len()}}, "right": right}})
}
