//! The scenarios that are shipped, from `scenarios/`.

use super::Files;

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// The built-in scenarios: name and files.
        pub fn built_in() -> impl Iterator<Item = (&'static str, Files<'static>)> {
            [$(($name, Files {
                scenario: include_str!(concat!("../../../../scenarios/", $name, "/scenario.toml")),
                attack: include_str!(concat!("../../../../scenarios/", $name, "/attack.jsonl")),
                benign: include_str!(concat!("../../../../scenarios/", $name, "/benign.jsonl")),
                expected: include_str!(concat!("../../../../scenarios/", $name, "/expected.toml")),
            })),*].into_iter()
        }
    };
}

built_in! {
    "broken-messages",
    "calls-of-strangers",
    "dialogs-forged",
    "invalid-signatures",
    "many-accounts-one-place",
    "one-program-many-places",
    "options-probing",
    "own-number-from-outside",
    "wrong-passwords-one-account",
}
