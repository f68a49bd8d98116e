//! Calls towards a carrier are signed: the authentication service of RFC 8224 §4.1, with `shaken`
//! of RFC 8588.
//!
//! Left out: `div` (RFC 8946). A call that the site forwards is signed as a call of the site, and
//! its caller's number gets no more than the attestation of a number that is not the site's.

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

/// The value of the Identity header of a call from `site` to `egress`; `None` if the trunk's calls
/// are not signed, the peer is told no telephone number, or the policy has no attestation for it.
pub(crate) fn identity_header(
    site: &Site,
    egress: &Peer,
    identity: &Identity,
    called: &Number,
    now: UnixTime,
) -> Option<String> {
    let signing = egress.policy.signing.as_ref()?;
    // What the other side compares with: P-Asserted-Identity if it is sent, else From.
    let asserted = identity.asserted.as_ref().filter(|_| egress.policy.trust);
    let calling = asserted.or(identity.shown.as_ref())?;
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
