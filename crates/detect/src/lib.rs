//! Judges what the edge sees and says why.
//!
//! Machines without input or output: typed events and the time go in; findings, incidents and
//! decisions come out, each with its evidence, its confidence, whether its source could have been
//! spoofed, when it expires and the sentence that explains it to a person. The rules they follow
//! are the rules of decision in `ARCHITECTURE.md`: outcomes are counted and not packets, a ban
//! needs a return-routability proof, what belongs to the customer is never banned, emergency
//! calls pass everything.
