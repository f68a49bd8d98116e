//! Telephony denial of service: a site's lines are kept open for those who need them.
//!
//! One [`Gate`] for each site is asked before a call is set up and told how calls go. It tells a
//! flood from a busy day by outcomes: who passes a short challenge by voice is a person. Known
//! callers never hear it; emergency calls and the calls back to them pass everything; one channel
//! always stays free for an outbound emergency call.
//!
//! | for | see |
//! |---|---|
//! | what goes in and what comes out | [`offer`] |
//! | the machine | [`gate`] |
//! | how many strangers are usual | [`baseline`] |
//! | whether everybody is called more than usual | [`climate`] |
//! | when there are too many | [`pressure`] |
//! | where the silent ones come from | [`classes`] |

pub mod baseline;
pub mod classes;
pub mod climate;
pub mod gate;
pub mod offer;
pub mod pressure;

pub use gate::Gate;
