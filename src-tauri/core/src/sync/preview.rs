//! What would be sent, said from the same bytes that are sent.

use super::parcel::{self, Parcel};
use super::send;
use crate::api::{PreviewEntry, PreviewPart, PreviewRequest, PreviewVerdict};
use crate::error::Result;
use crate::verdict::{bundle, canonical};

/// `ahead`: its envelope goes with those of others first.
pub fn of(parcel: &Parcel, lab_title: &str, token: &str, whole_max: u64, ahead: bool) -> Result<PreviewVerdict> {
    Ok(PreviewVerdict {
        result: parcel.id.clone(),
        lab_title: lab_title.to_owned(),
        requests: requests(parcel, token, whole_max, ahead),
        statement: String::from_utf8_lossy(&parcel.payload).into_owned(),
        entries: bundle::unpack(&parcel.evidence)?
            .entries
            .into_values()
            .map(|e| PreviewEntry { path: e.path, kind: e.kind, bytes: e.bytes.len() as u64 })
            .collect(),
        problem: String::new(),
    })
}

/// One that cannot be sent, and why.
pub fn problem(result: &str, lab_title: &str, why: &str) -> PreviewVerdict {
    PreviewVerdict {
        result: result.to_owned(),
        lab_title: lab_title.to_owned(),
        requests: Vec::new(),
        statement: String::new(),
        entries: Vec::new(),
        problem: why.to_owned(),
    }
}

fn requests(parcel: &Parcel, token: &str, whole_max: u64, ahead: bool) -> Vec<PreviewRequest> {
    let part = |name: &str, bytes: &[u8]| PreviewPart {
        name: name.into(),
        bytes: bytes.len() as u64,
        sha256: canonical::sha256(bytes),
    };
    let request = |method: &str, path: String, token: bool, parts: Vec<PreviewPart>| PreviewRequest {
        method: method.into(),
        path,
        token,
        parts,
    };
    let mut requests = Vec::new();
    if ahead {
        requests.push(request("POST", "/v1/envelopes".into(), false, vec![part("envelope", &parcel.envelope)]));
    }
    let submit = |parts| request("POST", "/v1/verdicts".into(), false, parts);
    if send::whole(parcel.evidence.len(), token, whole_max) {
        requests.push(submit(parcel::parts(parcel).into_iter().map(|(name, bytes)| part(name, bytes)).collect()));
        return requests;
    }
    let below = |name: &str| format!("/v1/verdicts/{}/{name}", parcel.id);
    requests.extend([
        submit(vec![part("envelope", &parcel.envelope)]),
        request("PUT", below("score.json"), true, vec![part("score", &parcel.score)]),
        request("PATCH", below("evidence.tar.zst"), true, vec![part("evidence", &parcel.evidence)]),
    ]);
    requests
}
