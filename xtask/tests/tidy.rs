//! The rules of the repository as tests: each fails with the places that break it.

use xtask::tidy;

#[track_caller]
fn check(rule: fn() -> anyhow::Result<tidy::Violations>) {
    let violations = rule().expect("the tree can be read");
    assert!(violations.is_empty(), "\n  {}\n", violations.join("\n  "));
}

#[test]
fn a_crate_never_depends_sideways_or_up() {
    check(tidy::floors::dependencies);
}

#[test]
fn floors_0_to_4_own_no_socket_clock_thread_file_or_runtime() {
    check(tidy::floors::sans_io);
}

#[test]
fn the_call_path_imports_nothing_from_the_store() {
    check(tidy::floors::call_path);
}

#[test]
fn no_file_is_longer_than_a_thousand_lines() {
    check(tidy::sources::length);
}

#[test]
fn no_left_over_marks() {
    check(tidy::sources::marks);
}

#[test]
fn no_test_waits_for_time_and_no_machine_path_is_kept() {
    check(tidy::sources::places);
}

#[test]
fn every_source_file_opens_with_its_purpose() {
    check(tidy::sources::headed);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    check(tidy::sources::lints);
}

#[test]
fn there_is_one_clippy_configuration() {
    check(tidy::sources::one_clippy);
}

#[test]
fn links_in_documents_resolve() {
    check(tidy::documents::links);
}

#[test]
fn the_rfc_coverage_names_tests_that_exist() {
    check(tidy::coverage::in_step);
}

#[test]
fn licences_of_dependencies_are_permissive() {
    check(tidy::licences::permissive);
}

#[test]
fn there_is_one_tls_and_one_crypto_library() {
    check(tidy::licences::one_crypto);
}
