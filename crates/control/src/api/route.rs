//! What would become of a call: the question and the answer of `ringfence route test`.

use serde::{Deserialize, Serialize};

use super::capture::percent_encoded;

/// The question of `GET /v1/route`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteQuery {
    /// What is dialled.
    pub called: String,
    /// The calling number, or who calls.
    pub from: Option<String>,
    /// Who calls: `carrier-a`, `trunk.carrier-a`, or a phone user as `GROUP/USER`.
    pub via: Option<String>,
    /// Whether the caller asks to be anonymous.
    #[serde(default)]
    pub private: bool,
    /// When: `Sat 19:00` or `19:00`.
    pub at: Option<String>,
}

impl RouteQuery {
    /// As the query of a URL.
    pub fn to_query(&self) -> String {
        let fields = [
            ("called", Some(self.called.as_str())),
            ("from", self.from.as_deref()),
            ("via", self.via.as_deref()),
            ("private", self.private.then_some("true")),
            ("at", self.at.as_deref()),
        ];
        let said = fields
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", percent_encoded(value?))));
        said.collect::<Vec<String>>().join("&")
    }
}

/// What would become of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteAnswer {
    /// Whether a running edge answered, with its health and its calls; otherwise the
    /// configuration alone did.
    pub live: bool,
    /// What was decided, in its order.
    pub steps: Vec<RouteStep>,
    /// The peers that the call might go to: first those that it tries, in that order.
    pub ways: Vec<RouteWay>,
    /// The end of it.
    pub outcome: RouteOutcome,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStep {
    /// `source`, `dial rule`, `number`, `route`, `caller`, `limits`, `phone`, `choice`, `wording`
    /// or `time`.
    pub topic: String,
    /// How it was decided, and why.
    pub text: String,
}

/// A peer, and its part in the choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteWay {
    /// `trunk carrier-a`
    pub peer: String,
    /// Its place among those that are tried, from 1; none if it is not.
    pub place: Option<usize>,
    /// Lower comes first.
    pub priority: u16,
    /// Share among peers of one priority.
    pub weight: u16,
    /// Calls that it has now.
    pub calls: u32,
    /// Calls that it may have; 0 is no limit.
    pub channels: u32,
    /// Why it is not tried, or not first.
    pub why: Option<String>,
}

/// The end of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum RouteOutcome {
    /// It is refused.
    Refused {
        /// With this SIP status.
        status: u16,
        /// As metrics and records name it.
        reason: String,
    },
    /// It rings at a phone.
    Rings {
        /// The phone user.
        user: String,
    },
    /// It goes out.
    Sent {
        /// `trunk carrier-a`
        peer: String,
        /// The user of Request-URI and To.
        called: String,
        /// The user of From; none is anonymous.
        calling: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_stable() {
        let answer = RouteAnswer {
            live: false,
            steps: vec![RouteStep {
                topic: "route".into(),
                text: "pbx main -> site summit -> trunk carrier-a".into(),
            }],
            ways: Vec::new(),
            outcome: RouteOutcome::Refused {
                status: 404,
                reason: "number".into(),
            },
        };
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(
            json,
            "{\"live\":false,\"steps\":[{\"topic\":\"route\",\"text\":\
             \"pbx main -> site summit -> trunk carrier-a\"}],\"ways\":[],\
             \"outcome\":{\"result\":\"refused\",\"status\":404,\"reason\":\"number\"}}"
        );
        assert_eq!(serde_json::from_str::<RouteAnswer>(&json).unwrap(), answer);
    }

    #[test]
    fn a_query_is_safe_in_a_url() {
        let query = RouteQuery {
            called: "+1 330".into(),
            at: Some("Sat 19:00".into()),
            ..RouteQuery::default()
        };
        assert_eq!(query.to_query(), "called=%2B1%20330&at=Sat%2019%3A00");
    }
}
