//! Calls towards a carrier are signed: the authentication service of RFC 8224 §4.1, with `shaken`
//! of RFC 8588.
//!
//! A verified call that the edge itself leads elsewhere (a redirection that it follows) keeps its
//! tokens and gets a `div` of the number that was called (RFC 8946), if its caller's number is shown.
//! Left out: `div` for what a phone system forwards by a call of its own, whose tokens it does not
//! have. That is signed as a call of the site, and its caller's number gets no more than the
//! attestation of a number that is not the site's.

use ringfence_base::UnixTime;
use ringfence_stir::{Attestation, Claims, Dest, Orig, Signer, canonical_number};

use crate::identity::Identity;
use crate::numbering::Number;
use crate::plan::{Peer, Site};

/// How calls to a trunk are signed (`[trunk.NAME.stir]`).
#[derive(Debug, PartialEq, Eq)]
pub struct Signing {
    /// The key, and where its certificate is.
    pub signer: Signer,
    /// The attestation of a calling number that is not one of the site's own, which get A; `None`
    /// leaves such calls without a signature.
    pub others: Option<Attestation>,
    /// The id of this origin of calls, a UUID.
    pub origid: String,
}

/// The values of the Identity headers of a call from `site` to `egress`; none if the trunk's calls
/// are not signed, the peer is told no telephone number, or the policy has no attestation for it.
pub(crate) fn identity_headers(
    site: &Site,
    egress: &Peer,
    identity: &Identity,
    called: &Number,
    now: UnixTime,
) -> Vec<String> {
    let diverted = diverted(site, egress, identity, called, now);
    diverted
        .or_else(|| Some(vec![signed(site, egress, identity, called, now)?]))
        .unwrap_or_default()
}

/// What the other side compares with: P-Asserted-Identity if it is sent, else From.
fn told<'a>(egress: &Peer, identity: &'a Identity) -> Option<&'a Number> {
    let asserted = identity.asserted.as_ref().filter(|_| egress.policy.trust);
    asserted.or(identity.shown.as_ref())
}

/// The tokens that the call came with, and who diverted it (RFC 8946 §4.1).
fn diverted(
    site: &Site,
    egress: &Peer,
    identity: &Identity,
    called: &Number,
    now: UnixTime,
) -> Option<Vec<String>> {
    let signing = egress.policy.signing.as_ref()?;
    let diverted = identity.diverted.as_ref()?;
    let orig = canonical(told(egress, identity)?)?;
    // A key of the site speaks for the site's numbers, and the tokens for this caller.
    if orig != diverted.orig || !site.owns(&diverted.by) || diverted.tokens.is_empty() {
        return None;
    }
    let claims = Claims {
        attest: None,
        dest: Dest {
            tn: vec![canonical(called)?],
            uri: Vec::new(),
        },
        div: Some(Orig::Tn(diverted.by.clone())),
        iat: u64::try_from(now.as_micros() / 1_000_000).ok()?,
        orig: Orig::Tn(orig),
        origid: None,
    };
    let mut headers = diverted.tokens.clone();
    headers.push(signing.signer.sign(Some("div"), &claims).ok()?);
    Some(headers)
}

fn signed(
    site: &Site,
    egress: &Peer,
    identity: &Identity,
    called: &Number,
    now: UnixTime,
) -> Option<String> {
    let signing = egress.policy.signing.as_ref()?;
    let calling = told(egress, identity)?;
    let own = calling
        .e164
        .is_some_and(|number| site.owns(&number.to_string()));
    let attest = match own {
        true => Attestation::A,
        false => signing.others?,
    };
    let claims = Claims {
        attest: Some(attest),
        dest: Dest {
            tn: vec![canonical(called)?],
            uri: Vec::new(),
        },
        div: None,
        iat: u64::try_from(now.as_micros() / 1_000_000).ok()?,
        orig: Orig::Tn(canonical(calling)?),
        origid: Some(signing.origid.clone()),
    };
    // A call without a signature is better than no call.
    signing.signer.sign(Some("shaken"), &claims).ok()
}

/// A number as it is signed. Not its spelling: tel URIs and SIP URIs are signed alike (RFC 8224
/// §8.3).
pub(crate) fn canonical(number: &Number) -> Option<String> {
    match number.e164 {
        Some(number) => Some(number.digits()),
        None => canonical_number(&number.text),
    }
}
