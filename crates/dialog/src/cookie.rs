//! Cookies: the branches, tags and Call-IDs that we make (RFC 3261 §8.1.1.4, §8.1.1.7, §19.3).
//!
//! Each is a short token that means something to us alone: 64 bits of payload under 56 bits of
//! keyed authentication code, sealed so that a peer sees 24 characters without any structure. Any
//! worker that shares the secret opens the cookies of all others. So an answer finds its worker
//! and its slot without a search, a forged one is refused before it finds anything, and whoever
//! returns one has proved that he receives what we send to his address.
//!
//! The sealing is SIV: code = MAC(payload), and the payload is masked by a keyed function of the
//! code. Letters are Crockford's base 32, legal in a SIP token, and read in any case, because
//! RFC 3261 §7.3.1 lets an element on the way change case.

use std::fmt;

use ringfence_base::{Entropy, HashKey, WorkerIndex};

/// Makes and opens the cookies of one worker. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Cookies {
    key: HashKey,
    worker: WorkerIndex,
}

/// A tag of ours (RFC 3261 §19.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag([u8; TOKEN_LEN]);

/// A Call-ID of ours (RFC 3261 §8.1.1.4). It has no host part: that would tell where we are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalCallId([u8; TOKEN_LEN]);

/// A branch of ours (RFC 3261 §8.1.1.7), with its magic cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Branch([u8; MAGIC.len() + TOKEN_LEN]);

/// What a branch of ours says: which client transaction of which worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BranchPayload {
    pub(crate) worker: WorkerIndex,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Cookies {
    /// The cookies of `worker` under the secret that all workers of the process share.
    pub const fn new(secret: [u8; 16], worker: WorkerIndex) -> Cookies {
        Cookies {
            key: HashKey::from_bytes(secret),
            worker,
        }
    }

    /// The worker whose cookies these are.
    pub const fn worker(&self) -> WorkerIndex {
        self.worker
    }

    /// A new tag for our end of a dialog.
    pub fn new_tag(&self, entropy: &mut dyn Entropy) -> Tag {
        Tag(self.seal(Purpose::Tag, self.random_payload(entropy)))
    }

    /// The worker that made `tag`, if one of ours did.
    pub fn worker_of_tag(&self, tag: &[u8]) -> Option<WorkerIndex> {
        self.open(Purpose::Tag, tag).map(worker_of_payload)
    }

    /// A new Call-ID for a dialog that we begin.
    pub fn new_call_id(&self, entropy: &mut dyn Entropy) -> LocalCallId {
        LocalCallId(self.seal(Purpose::CallId, self.random_payload(entropy)))
    }

    /// The worker that made `call_id`, if one of ours did.
    pub fn worker_of_call_id(&self, call_id: &[u8]) -> Option<WorkerIndex> {
        self.open(Purpose::CallId, call_id).map(worker_of_payload)
    }

    /// Whether one of our workers made `call_id`: a new request that bears it has come back to
    /// us in a loop.
    pub fn is_ours(&self, call_id: &[u8]) -> bool {
        self.worker_of_call_id(call_id).is_some()
    }

    /// The worker that made `branch`, if one of ours did. A response goes to that worker.
    pub fn worker_of_branch(&self, branch: &[u8]) -> Option<WorkerIndex> {
        self.open_branch(branch).map(|payload| payload.worker)
    }

    pub(crate) fn branch(&self, slot: u32, generation: u32) -> Branch {
        debug_assert!(slot < MAX_SLOTS, "the slot must fit its 24 bits");
        let payload = u64::from(slot & (MAX_SLOTS - 1)) << 32 | u64::from(generation);
        self.seal_branch(Purpose::Branch, payload)
    }

    /// The branch of the `count`th ACK for a 2xx. Nobody answers an ACK, so it names no slot.
    pub(crate) fn ack_branch(&self, count: u64) -> Branch {
        self.seal_branch(Purpose::AckBranch, count)
    }

    pub(crate) fn open_branch(&self, branch: &[u8]) -> Option<BranchPayload> {
        let (magic, token) = branch.split_at_checked(MAGIC.len())?;
        if !magic.eq_ignore_ascii_case(MAGIC) {
            return None;
        }
        let payload = self.open(Purpose::Branch, token)?;
        Some(BranchPayload {
            worker: worker_of_payload(payload),
            slot: (payload >> 32) as u32 & (MAX_SLOTS - 1),
            generation: payload as u32,
        })
    }

    fn seal_branch(&self, purpose: Purpose, payload: u64) -> Branch {
        let payload = u64::from(self.worker.raw()) << 56 | payload & (u64::MAX >> 8);
        let mut text = [0; MAGIC.len() + TOKEN_LEN];
        text[..MAGIC.len()].copy_from_slice(MAGIC);
        text[MAGIC.len()..].copy_from_slice(&self.seal(purpose, payload));
        Branch(text)
    }

    fn random_payload(&self, entropy: &mut dyn Entropy) -> u64 {
        u64::from(self.worker.raw()) << 56 | entropy.next_u64() >> 8
    }

    fn seal(&self, purpose: Purpose, payload: u64) -> [u8; TOKEN_LEN] {
        let code = self.code(purpose, payload);
        encode(u128::from(code) << 64 | u128::from(payload ^ self.mask(purpose, code)))
    }

    fn open(&self, purpose: Purpose, token: &[u8]) -> Option<u64> {
        let sealed = decode(token)?;
        let code = (sealed >> 64) as u64;
        let payload = sealed as u64 ^ self.mask(purpose, code);
        (self.code(purpose, payload) == code).then_some(payload)
    }

    /// 56 bits of authentication code.
    fn code(&self, purpose: Purpose, payload: u64) -> u64 {
        self.mac(b'c', purpose, payload) >> 8
    }

    fn mask(&self, purpose: Purpose, code: u64) -> u64 {
        self.mac(b'm', purpose, code)
    }

    fn mac(&self, step: u8, purpose: Purpose, number: u64) -> u64 {
        let mut message = [0; 10];
        message[0] = step;
        message[1] = purpose as u8;
        message[2..].copy_from_slice(&number.to_le_bytes());
        self.key.mac64(&message)
    }
}

impl Branch {
    /// The text, for a Via's `branch` parameter.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Tag {
    /// A tag that a peer sent back to us, to look it up: none if we can never have made it.
    pub fn from_bytes(tag: &[u8]) -> Option<Tag> {
        decode(tag).map(|number| Tag(encode(number)))
    }

    /// The text, for a `tag` parameter.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl LocalCallId {
    /// A Call-ID that a peer sent back to us, to look it up: none if we can never have made it.
    pub fn from_bytes(call_id: &[u8]) -> Option<LocalCallId> {
        decode(call_id).map(|number| LocalCallId(encode(number)))
    }

    /// The text, for a Call-ID header.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

macro_rules! show_as_text {
    ($($name:ident),*) => {$(
        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    )*};
}

show_as_text!(Branch, Tag, LocalCallId);

/// Keeps a cookie of one kind from passing as one of another.
#[derive(Clone, Copy)]
enum Purpose {
    AckBranch,
    Branch,
    CallId,
    Tag,
}

fn worker_of_payload(payload: u64) -> WorkerIndex {
    WorkerIndex::new((payload >> 56) as u8)
}

fn encode(number: u128) -> [u8; TOKEN_LEN] {
    std::array::from_fn(|place| {
        ALPHABET[(number >> (5 * (TOKEN_LEN - 1 - place))) as usize % ALPHABET.len()]
    })
}

fn decode(token: &[u8]) -> Option<u128> {
    if token.len() != TOKEN_LEN {
        return None;
    }
    token.iter().try_fold(0, |number: u128, &byte| {
        let digit = DIGITS[usize::from(byte)];
        (digit != NO_DIGIT).then_some(number << 5 | u128::from(digit))
    })
}

/// How many client transactions a worker can tell apart by their branches.
pub(crate) const MAX_SLOTS: u32 = 1 << 24;

/// 120 bits, five to a letter.
const TOKEN_LEN: usize = 24;

/// RFC 3261 §8.1.1.7.
pub(crate) const MAGIC: &[u8; 7] = b"z9hG4bK";

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

const NO_DIGIT: u8 = 0xff;

const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < ALPHABET.len() {
        digits[ALPHABET[digit] as usize] = digit as u8;
        digits[ALPHABET[digit].to_ascii_uppercase() as usize] = digit as u8;
        digit += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ringfence_base::entropy::SeededEntropy;

    fn cookies(worker: u8) -> Cookies {
        Cookies::new([7; 16], WorkerIndex::new(worker))
    }

    #[test]
    fn a_worker_opens_the_cookies_of_another() {
        let mut entropy = SeededEntropy::new(1);
        let (two, five) = (cookies(2), cookies(5));
        let worker = Some(WorkerIndex::new(5));
        assert_eq!(
            two.worker_of_tag(five.new_tag(&mut entropy).as_bytes()),
            worker
        );
        assert_eq!(two.worker_of_branch(five.branch(9, 1).as_bytes()), worker);
        let call_id = five.new_call_id(&mut entropy);
        assert_eq!(two.worker_of_call_id(call_id.as_bytes()), worker);
        assert!(two.is_ours(call_id.as_bytes()));
    }

    #[test]
    fn another_process_does_not_open_them() {
        let mut entropy = SeededEntropy::new(1);
        let stranger = Cookies::new([8; 16], WorkerIndex::new(5));
        assert_eq!(
            stranger.worker_of_tag(cookies(5).new_tag(&mut entropy).as_bytes()),
            None
        );
        assert_eq!(
            stranger.worker_of_branch(cookies(5).branch(9, 1).as_bytes()),
            None
        );
    }

    #[test]
    fn one_kind_does_not_pass_as_another() {
        let tag = cookies(1).new_tag(&mut SeededEntropy::new(1));
        assert!(cookies(1).worker_of_tag(tag.as_bytes()).is_some());
        assert!(!cookies(1).is_ours(tag.as_bytes()));
        let branch = [MAGIC.as_slice(), tag.as_bytes()].concat();
        assert_eq!(cookies(1).worker_of_branch(&branch), None);
    }

    #[test]
    fn case_may_change_on_the_way_rfc3261_7_3_1() {
        let branch = cookies(1).branch(77, 12).to_string().to_uppercase();
        let payload = BranchPayload {
            worker: WorkerIndex::new(1),
            slot: 77,
            generation: 12,
        };
        assert_eq!(cookies(3).open_branch(branch.as_bytes()), Some(payload));
    }

    #[test]
    fn a_returned_tag_equals_the_one_that_was_sent() {
        let tag = cookies(1).new_tag(&mut SeededEntropy::new(1));
        let returned = tag.to_string().to_uppercase();
        assert_eq!(Tag::from_bytes(returned.as_bytes()), Some(tag));
        assert_eq!(Tag::from_bytes(b"1928301774"), None);
        let call_id = cookies(1).new_call_id(&mut SeededEntropy::new(1));
        assert_eq!(LocalCallId::from_bytes(call_id.as_bytes()), Some(call_id));
        assert_eq!(
            LocalCallId::from_bytes(b"a84b4c76e66710@pc33.example"),
            None
        );
    }

    #[test]
    fn text_is_short_and_a_token() {
        let branch = cookies(255).branch(MAX_SLOTS - 1, u32::MAX).to_string();
        assert_eq!(branch.len(), 31);
        assert!(branch.starts_with("z9hG4bK"));
        assert!(branch.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(
            format!("{:?}", cookies(255)),
            "Cookies { key: HashKey(…), worker: WorkerIndex(255) }"
        );
    }

    #[test]
    fn neighbours_share_no_structure() {
        let (a, b) = (
            cookies(1).branch(1, 1).to_string(),
            cookies(1).branch(1, 2).to_string(),
        );
        let same = a
            .bytes()
            .zip(b.bytes())
            .skip(7)
            .filter(|(a, b)| a == b)
            .count();
        assert!(same < 8, "{a} {b}");
    }

    proptest! {
        #[test]
        fn a_changed_letter_is_refused(
            slot in 0..MAX_SLOTS, generation: u32, place in 7..31usize, letter in 0..32usize,
        ) {
            let text = cookies(1).branch(slot, generation);
            let mut changed = text.0;
            changed[place] = ALPHABET[letter];
            prop_assert_eq!(cookies(2).open_branch(&changed).is_some(), changed == text.0);
        }

        #[test]
        fn noise_never_panics_and_is_refused(noise: Vec<u8>) {
            prop_assert_eq!(cookies(1).open_branch(&noise), None);
            prop_assert_eq!(cookies(1).worker_of_tag(&noise), None);
        }
    }
}
