//! `[[detect.feed]]`: lists of addresses that others saw attack.
//!
//! A list that cannot be read is a warning and no error: what others publish may never keep the edge
//! from starting, nor a change from being applied.

use ringfence_detect::feed::{ENTRIES_MAX, LISTS_MAX};
use ringfence_detect::name::NAME_TEXT_MAX;

use super::model::FeedFile;
use super::table::Section;
use super::values::{self, Fault};
use crate::feed::{self, Feed};

/// Reads them out of the section `detect`.
pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Vec<FeedFile> {
    let tables = section.tables("feed");
    if tables.len() > LISTS_MAX {
        let key = section.key("feed");
        let message = format!("has {} lists, and {LISTS_MAX} is the most", tables.len());
        let fix = "put several into one file";
        section.report().error(&key, message, fix);
    }
    let mut feeds: Vec<FeedFile> = Vec::new();
    for (path, table) in tables.into_iter().take(LISTS_MAX) {
        let mut one = Section::new(section.report(), &path, table);
        let name = one.parsed("name", name);
        one.require("name", "write name = \"apiban\" (what sentences call it)");
        let file = one.path("file");
        one.require("file", "write file = \"apiban.json\"");
        let kind = one.one_of("kind", &feed::Kind::NAMED).unwrap_or_default();
        let (name_key, file_key) = (one.key("name"), one.key("file"));
        one.finish();
        let (Some(name), Some(file)) = (name, file) else {
            continue;
        };
        let report = section.report();
        if feeds.iter().any(|other| other.name == name) {
            let message = format!("\"{name}\" is the name of two lists");
            report.error(&name_key, message, "give each a name of its own");
            continue;
        }
        let list = match feed::load(&name, kind, &file) {
            Ok(feed) => {
                for message in faults(&feed) {
                    let message = format!("\"{}\" {message}", file.display());
                    report.warning(&file_key, message, "what can be read of it is used");
                }
                Some(feed.list)
            }
            Err(error) => {
                let message = format!("\"{}\" {error}", file.display());
                let fix = "a running edge keeps what it read before; see that the list is fetched";
                report.warning(&file_key, message, fix);
                None
            }
        };
        feeds.push(FeedFile {
            name,
            file,
            kind,
            list,
        });
    }
    feeds
}

/// What could not be used of a list.
fn faults(feed: &Feed) -> Vec<String> {
    let mut faults = Vec::new();
    if feed.broken.count > 0 {
        faults.push(format!("has {}", feed.broken));
    }
    if feed.left_out > 0 {
        let left_out = feed.left_out;
        faults.push(format!(
            "has more than {ENTRIES_MAX} entries: {left_out} are left out"
        ));
    }
    faults
}

/// Short enough to be shown whole.
fn name(text: &str) -> Result<String, Fault> {
    values::table_name(text)
        .ok()
        .filter(|()| text.len() <= NAME_TEXT_MAX)
        .map(|()| text.to_owned())
        .ok_or_else(|| Fault::new("is no name of a list", "use 1 to 31 of a-z, 0-9, - and _"))
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use crate::config::tests::{DOCUMENTED, folder};
    use crate::diff::applicable;

    #[test]
    fn a_list_that_cannot_be_read_is_a_warning_and_the_last_good_one_stays() {
        let folder = folder();
        let (file, list) = (
            folder.path().join("ringfence.toml"),
            folder.path().join("bad.txt"),
        );
        let text = format!("{DOCUMENTED}\n[[detect.feed]]\nname = \"mine\"\nfile = \"bad.txt\"\n");
        let load = || parse(&text, &file).unwrap();
        let warned = |loaded: &crate::Loaded, says: &str| {
            let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            assert!(
                warnings.iter().any(|each| each.contains(says)),
                "{warnings:?}"
            );
        };
        let missing = load();
        warned(&missing, "cannot be read");
        assert_eq!(missing.config.feeds[0].list, None);

        std::fs::write(&list, "192.0.2.1\nbad\n").unwrap();
        let good = load();
        warned(&good, "has 1 no address or network: line 2");
        assert!(good.config.feeds[0].list.is_some());

        std::fs::write(&list, "<html>not found</html>\n").unwrap();
        let broken = load();
        warned(&broken, "has no address in it");
        let applied = applicable(&good.config, &broken.config);
        assert_eq!(applied.feeds, good.config.feeds);
        let changes = crate::diff(&good.config, &broken.config);
        assert!(
            changes
                .iter()
                .any(|change| change.to_string().contains("could not be read"))
        );
    }

    #[test]
    fn faulty_tables_are_named_all_at_once() {
        let folder = folder();
        let file = folder.path().join("ringfence.toml");
        let feeds = "[[detect.feed]]\nname = \"Mine\"\nfile = \"a\"\n[[detect.feed]]\nname = \"b\"\n\
                     [[detect.feed]]\nname = \"c\"\nfile = \"c\"\n[[detect.feed]]\nname = \"c\"\nfile = \"c\"\n\
                     weight = 5\n";
        let error = parse(&format!("{DOCUMENTED}\n{feeds}"), &file).unwrap_err();
        let error = error.to_string();
        for says in [
            "is no name of a list",
            "detect.feed[1].file",
            "the name of two lists",
            "detect.feed[3].weight",
        ] {
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
