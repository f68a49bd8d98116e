//! `[site.NAME.screening]`: how strangers are asked by voice.

use std::path::Path;
use std::time::Duration;

use ringfence_media::voice::{Language, PROMPTS, wav};
use ringfence_session::screening::DIGITS_MAX;
use toml::de::DeTable;

use super::model::Screening;
use super::report::Report;
use super::table::Section;

/// A WAV file of half a minute at 16 bits, and room for its head.
const FILE_BYTES_MAX: u64 = 2 * wav::SAMPLES_MAX as u64 + 64 * 1024;

/// Reads the table of the site `name`, or what holds without one.
pub(super) fn read(report: &mut Report<'_>, name: &str, table: Option<&DeTable<'_>>) -> Screening {
    let mut screening = Screening::default();
    let Some(table) = table else {
        return screening;
    };
    let path = format!("site.{name}.screening");
    let mut section = Section::new(report, &path, table);
    screening.voice = section.boolean("voice").unwrap_or(true);
    let languages = [("de", Language::De), ("en", Language::En)];
    screening.language = section.one_of("language", &languages);
    if let Some(digits) = section.integer("digits", 1..=DIGITS_MAX as u64) {
        screening.digits = digits as u8;
    }
    let range = Duration::from_secs(5)..=Duration::from_secs(30);
    screening.time = section.duration("time", range, false);
    screening.folder = section.path("prompts");
    if let Some(folder) = screening.folder.clone() {
        let key = section.key("prompts");
        screening.prompts = read_prompts(section.report(), &key, &folder);
    }
    section.finish();
    screening
}

/// The files of a folder that are prompts. What is missing stays as shipped.
fn read_prompts(report: &mut Report<'_>, key: &str, folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    if let Err(error) = std::fs::read_dir(folder) {
        let message = format!("{} cannot be read: {error}", folder.display());
        report.error(
            key,
            message,
            "name a folder with files like ask.wav and 0.wav",
        );
        return Vec::new();
    }
    let mut found = Vec::new();
    for name in PROMPTS {
        let file = folder.join(format!("{name}.wav"));
        let Ok(about) = std::fs::metadata(&file) else {
            continue;
        };
        let read = match about.len() <= FILE_BYTES_MAX {
            true => std::fs::read(&file).map_err(|error| error.to_string()),
            false => Err(wav::WavError::TooLong.to_string()),
        };
        let checked = read.and_then(|bytes| match wav::read(&bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(error.to_string()),
        });
        match checked {
            Ok(bytes) => found.push((name, bytes)),
            Err(why) => {
                let fix = format!("sox {name}.wav -r 8000 -c 1 -b 16 OUT.wav makes one that fits");
                report.error(key, format!("{} is no prompt: {why}", file.display()), fix);
            }
        }
    }
    if found.is_empty() {
        let message = format!("there is no prompt in {}", folder.display());
        let fix = format!(
            "put files there that are named {}.wav",
            PROMPTS.join(".wav, ")
        );
        report.error(key, message, fix);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{DOCUMENTED, folder};
    use crate::config::{Config, ConfigError, parse};

    fn with(folder: &Path, lines: &str) -> Result<Config, ConfigError> {
        let table = format!("[site.summit.screening]\n{lines}\n\n[trunk.carrier-a]");
        let text = DOCUMENTED.replacen("[trunk.carrier-a]", &table, 1);
        parse(&text, &folder.join("ringfence.toml")).map(|loaded| loaded.config)
    }

    fn wave(rate: u32) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x07\0\x01\0".to_vec();
        file.extend(rate.to_le_bytes());
        file.extend([0, 0, 0, 0, 1, 0, 8, 0]);
        file.extend(b"data\x02\0\0\0\x80\x81");
        file
    }

    #[test]
    fn files_take_the_place_of_prompts() {
        let folder = folder();
        std::fs::write(folder.path().join("4.wav"), wave(8_000)).unwrap();
        let config = with(folder.path(), "prompts = \".\"\ndigits = 3\ntime = \"10s\"").unwrap();
        let site = &config.sites[0];
        assert_eq!(site.screening.prompts.len(), 1);
        let voice = site.screening.policy("US").unwrap();
        assert_eq!((voice.digits, voice.time), (3, Duration::from_secs(10)));
        assert_eq!(voice.prompts.digit(4).as_ref(), [0x80, 0x81]);
    }

    #[test]
    fn a_file_that_is_no_prompt_is_named_with_the_way_to_mend_it() {
        let folder = folder();
        std::fs::write(folder.path().join("ask.wav"), wave(44_100)).unwrap();
        let error = with(folder.path(), "prompts = \".\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ask.wav is no prompt: it has 44100 samples"),
            "{error}"
        );
        assert!(error.contains("sox ask.wav -r 8000"), "{error}");
        let error = with(folder.path(), "prompts = \"nowhere\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("nowhere cannot be read"), "{error}");
    }

    #[test]
    fn a_site_without_voice_asks_nobody() {
        let folder = folder();
        let config = with(folder.path(), "voice = false").unwrap();
        assert!(config.sites[0].screening.policy("DE").is_none());
    }
}
