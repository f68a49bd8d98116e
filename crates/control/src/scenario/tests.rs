//! Every shipped scenario does what it says; a broken one says where.

use super::*;

#[test]
fn every_shipped_scenario_finds_its_attack_and_nothing_else() {
    let mut count = 0;
    for (name, files) in built_in() {
        let tested = test(Path::new(name), files).unwrap_or_else(|error| panic!("{error}"));
        assert!(tested.passed, "{tested:#?}");
        assert_eq!(tested.name, name);
        count += 1;
    }
    assert!(count >= 8);
    assert_eq!(all(None).unwrap().len(), count);
}

const GOOD: &str = "name = \"night-calls\"\nsays = \"x\"\nfinds = \"scan\"\nlimit = 3\nwithin = \"1h\"\n\
    group = [\"address\"]\n[when]\nwhat = \"refused\"\n";

#[track_caller]
fn broken(from: &str, to: &str, line: usize, words: &str) {
    let text = GOOD.replace(from, to);
    let error = parse(Path::new("night.toml"), &text).unwrap_err();
    assert_eq!(error.line, line, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_broken_scenario_says_file_line_and_fix() {
    assert!(parse(Path::new("night.toml"), GOOD).is_ok());
    broken(
        "\"scan\"",
        "\"scam\"",
        3,
        "night.toml:3: finds: write one of",
    );
    broken("limit = 3", "limit = 0", 4, "limit: write how many");
    broken("\"1h\"", "\"1 hour\"", 5, "within: write a time");
    broken(
        "[\"address\"]",
        "[\"adress\"]",
        6,
        "is no field of an event",
    );
    broken("what =", "waht =", 8, "is no field of an event");
    broken("limit = 3", "limits = 3", 4, "unknown field");
    broken("night-calls", "Night Calls", 1, "small letters");
    broken("what = \"refused\"", "", 1, "[when]");
}

#[test]
fn a_users_scenario_takes_the_place_of_a_built_in_one_and_a_broken_one_stops_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let own = GOOD.replace("night-calls", "options-probing");
    std::fs::write(path("mine.toml"), own).unwrap();
    std::fs::create_dir(path("night")).unwrap();
    std::fs::write(path("night/scenario.toml"), GOOD).unwrap();
    let scenarios = all(Some(folder.path())).unwrap();
    assert_eq!(scenarios.len(), built_in().count() + 1);
    let mine = scenarios
        .iter()
        .find(|it| it.name == "options-probing")
        .unwrap();
    assert_eq!((mine.says.as_str(), mine.limit), ("x", 3));
    std::fs::write(path("bad.toml"), "name = 3").unwrap();
    std::fs::write(path("again.toml"), GOOD).unwrap();
    let errors = all(Some(folder.path())).unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn a_line_of_a_trace_that_is_wrong_is_named() {
    let key = HashKey::from_bytes([0; 16]);
    for (line, words) in [
        (
            "{\"at\":1,\"from\":\"x\",\"what\":\"refused\"}",
            "from: write an address",
        ),
        (
            "{\"at\":1,\"from\":\"192.0.2.1\",\"what\":\"eaten\"}",
            "what: write",
        ),
        (
            "{\"at\":-1,\"from\":\"192.0.2.1\",\"what\":\"refused\"}",
            "at: write",
        ),
        (
            "{\"at\":1,\"from\":\"192.0.2.1\",\"what\":\"refused\",\"reason\":\"x\"}",
            "reason: write",
        ),
        ("nonsense", "expected"),
    ] {
        let text = format!("# a comment\n\n{line}\n");
        let error = parse_trace(Path::new("attack.jsonl"), &text, key).unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.message.contains(words), "{error}");
    }
}
