//! Judges what the edge sees and says why.
//!
//! Machines without input or output: typed events and the time go in; findings, incidents and
//! decisions come out, each with its evidence, its confidence, whether its source could have been
//! spoofed, when it expires and the sentence that explains it to a person. The rules they follow
//! are the rules of decision in `ARCHITECTURE.md`: outcomes are counted and not packets, a ban
//! needs a return-routability proof, what belongs to the customer is never banned, emergency
//! calls pass everything.
//!
//! | for | see |
//! |---|---|
//! | who is known to the business | [`callers`] |
//! | a site's lines kept open under a flood of calls | [`tdos`] |
//! | what happened: the way in | [`event`] |
//! | events as bytes, to be kept | [`codec`] |
//! | lists of addresses that others saw attack | [`feed`] |
//! | toll fraud, stopped before the call is set up | [`fraud`] |
//! | parts of events out of a message | [`reading`] |
//! | detectors that are data | [`scenario`] |
//! | short texts of peers, kept in place | [`name`] |
//! | how a message is built, whatever it calls itself | [`fingerprint`] |
//! | counting much in little memory | [`sketch`] |
//! | what is the customer's own and never banned | [`own`] |
//! | what is done about a finding, step by step | [`ladder`] |
//! | the judge itself | [`watch`] |
//! | what was found and what is done about it: the way out | [`finding`], [`decision`] |
//!
//! No networking, no clock, no thread: the time is an argument.

pub mod callers;
pub mod codec;
pub mod decision;
pub mod event;
pub mod feed;
pub mod finding;
pub mod fingerprint;
pub mod fraud;
pub mod habits;
pub mod ladder;
pub mod media;
pub mod name;
pub mod own;
pub mod probes;
pub mod reading;
pub mod scenario;
pub mod silence;
pub mod sketch;
pub mod tdos;
pub mod watch;
