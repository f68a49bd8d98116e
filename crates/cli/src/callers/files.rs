//! Numbers out of files: contacts in CSV and vCard (RFC 6350), call records in CSV.
//!
//! Columns are found by their names, which differ from program to program; of Asterisk's `Master.csv`,
//! which has no names, by their places. Of call records only answered calls of 15 s or more count.

use std::path::Path;

use ringfence_control::api::GivenNumber;

use crate::args::CallersFormat;

/// A shorter call makes nobody known.
const TALK_SECONDS: u64 = 15;

/// What was found in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) numbers: Vec<GivenNumber>,
    /// They are of records of calls.
    pub(super) talked: bool,
}

/// Reads a file of any of the formats.
pub(super) fn read(path: &Path, bytes: &[u8], format: CallersFormat) -> anyhow::Result<Found> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    let is_vcard = path
        .extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("vcf"))
        || text
            .trim_start()
            .get(..11)
            .is_some_and(|head| head.eq_ignore_ascii_case("BEGIN:VCARD"));
    match format {
        CallersFormat::Vcard => Ok(vcard(&text)),
        CallersFormat::Auto if is_vcard => Ok(vcard(&text)),
        _ => csv(&text, format),
    }
}

/// `TEL` properties. A line that begins with white space continues the one before (§3.2).
fn vcard(text: &str) -> Found {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some((_, last))) => last.push_str(more),
            _ => lines.push((number + 1, line.to_owned())),
        }
    }
    let mut found = Found::default();
    for (number, line) in lines {
        let Some((property, value)) = line.split_once(':') else {
            continue;
        };
        let name = property.split(';').next().unwrap_or_default();
        // A group stands in front: `item1.TEL`.
        let name = name.rsplit('.').next().unwrap_or_default();
        let is_fax = property.to_ascii_lowercase().contains("fax");
        if name.eq_ignore_ascii_case("TEL") && !is_fax {
            let value = value.trim();
            let uri = value
                .get(..4)
                .is_some_and(|head| head.eq_ignore_ascii_case("tel:"));
            found.numbers.push(GivenNumber {
                place: format!("line {number}, TEL"),
                text: if uri {
                    value[4..].to_owned()
                } else {
                    value.to_owned()
                },
            });
        }
    }
    found
}

/// Where in a row things stand.
#[derive(Debug, Default)]
struct Columns {
    /// Numbers, each with its column's name.
    numbers: Vec<(usize, String)>,
    disposition: Option<usize>,
    seconds: Option<usize>,
    is_cdr: bool,
}

fn csv(text: &str, format: CallersFormat) -> anyhow::Result<Found> {
    let head = text.lines().next().unwrap_or_default();
    let separators = [b',', b';', b'\t'];
    let count = |separator: &u8| head.bytes().filter(|byte| byte == separator).count();
    let separator = separators.into_iter().max_by_key(count).unwrap_or(b',');
    let mut rows = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let mut columns: Option<Columns> = None;
    let (mut counted, mut line) = (0, 1);
    let mut found = Found::default();
    for row in rows.records() {
        let row = row?;
        // The reader's own count is one behind after CR LF.
        let start = row
            .position()
            .map_or(0, |position| position.byte() as usize);
        let skipped = text.get(counted..start).unwrap_or_default();
        line += skipped.bytes().filter(|byte| *byte == b'\n').count() as u64;
        counted = start.max(counted);
        let line = line + u64::from(text[counted..].starts_with(['\n']));
        let Some(columns) = &columns else {
            let first = columns_of(&row, format);
            let named = first.is_some();
            let first = first.or_else(|| places_of(&row)).ok_or_else(|| {
                anyhow::anyhow!(
                    "line {line}: no column of it names a phone number. Give the file a first line with \
                     names (contacts: Phone; call records: src, dst, billsec, disposition)"
                )
            })?;
            found.talked = first.is_cdr;
            if !named {
                take(&mut found, &first, &row, line);
            }
            columns = Some(first);
            continue;
        };
        take(&mut found, columns, &row, line);
    }
    Ok(found)
}

fn take(found: &mut Found, columns: &Columns, row: &::csv::StringRecord, line: u64) {
    let cell = |place: usize| row.get(place).map(str::trim);
    if let Some(disposition) = columns.disposition.and_then(cell)
        && !disposition.eq_ignore_ascii_case("answered")
    {
        return;
    }
    if let Some(seconds) = columns.seconds.and_then(cell)
        && seconds_of(seconds).is_some_and(|seconds| seconds < TALK_SECONDS)
    {
        return;
    }
    for (place, name) in &columns.numbers {
        let cells = cell(*place).unwrap_or_default();
        // Google writes several numbers of one kind into one cell.
        for text in cells
            .split(":::")
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            // An extension's name, or a caller without a number, is no number and no fault.
            if columns.is_cdr && !text.bytes().any(|byte| byte.is_ascii_digit()) {
                continue;
            }
            found.numbers.push(GivenNumber {
                place: format!("line {line}, column \"{name}\""),
                text: text.to_owned(),
            });
        }
    }
}

/// `75`, `1:15`, `00:01:15`.
fn seconds_of(text: &str) -> Option<u64> {
    text.split(':').try_fold(0_u64, |sum, part| {
        let part: u64 = part.trim().split('.').next()?.parse().ok()?;
        sum.checked_mul(60)?.checked_add(part)
    })
}

/// Columns by the names in the first row; none if it has no such names.
fn columns_of(row: &::csv::StringRecord, format: CallersFormat) -> Option<Columns> {
    let names: Vec<String> = row.iter().map(|name| name.trim().to_lowercase()).collect();
    let find = |wanted: &[&str]| {
        names
            .iter()
            .position(|name| wanted.contains(&name.as_str()))
    };
    const PARTIES: [&str; 14] = [
        "src",
        "dst",
        "source",
        "destination",
        "caller",
        "callee",
        "from",
        "to",
        "calling number",
        "called number",
        "caller id",
        "caller number",
        "from number",
        "to number",
    ];
    const SECONDS: [&str; 6] = [
        "billsec",
        "talking",
        "talk time",
        "talk duration",
        "duration",
        "seconds",
    ];
    const DISPOSITIONS: [&str; 4] = ["disposition", "status", "call status", "result"];
    let seconds = find(&SECONDS);
    let is_cdr = match format {
        CallersFormat::Cdr => true,
        CallersFormat::Contacts => false,
        _ => seconds.is_some() && names.iter().any(|name| PARTIES.contains(&name.as_str())),
    };
    let is_number = |name: &str| match is_cdr {
        true => PARTIES.contains(&name),
        false => is_phone(name),
    };
    let numbers: Vec<(usize, String)> = names
        .iter()
        .zip(row)
        .enumerate()
        .filter(|(_, (name, _))| is_number(name))
        .map(|(place, (_, shown))| (place, shown.trim().to_owned()))
        .collect();
    (!numbers.is_empty()).then_some(Columns {
        numbers,
        disposition: find(&DISPOSITIONS).filter(|_| is_cdr),
        seconds: seconds.filter(|_| is_cdr),
        is_cdr,
    })
}

/// `Phone 1 - Value`, `Business Phone`, `Mobile`, `Telephone`, `Telefon`.
fn is_phone(name: &str) -> bool {
    const NOT: [&str; 5] = ["type", "label", "fax", "email", "e-mail"];
    const WORDS: [&str; 6] = ["phone", "mobile", "telefon", "tel", "cell", "handy"];
    let is_word = |word: &&str| match word.len() {
        // A short word must stand alone: not in "hotel".
        ..=4 => name
            .split(|c: char| !c.is_alphanumeric())
            .any(|part| part == *word),
        _ => name.contains(*word),
    };
    (WORDS.iter().any(is_word) || name == "number") && !NOT.iter().any(|not| name.contains(not))
}

/// Asterisk's `Master.csv`: accountcode, src, dst, …, duration, billsec, disposition.
fn places_of(row: &::csv::StringRecord) -> Option<Columns> {
    const DISPOSITION: usize = 14;
    const BILLSEC: usize = 13;
    const VALUES: [&str; 5] = ["ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION"];
    let is_master = row
        .get(DISPOSITION)
        .is_some_and(|it| VALUES.contains(&it.trim()));
    is_master.then(|| Columns {
        numbers: vec![(1, "src".to_owned()), (2, "dst".to_owned())],
        disposition: Some(DISPOSITION),
        seconds: Some(BILLSEC),
        is_cdr: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, text: &str, talked: bool, expected: &[(&str, &str)]) {
        let found = read(Path::new(name), text.as_bytes(), CallersFormat::Auto).unwrap();
        let numbers: Vec<(&str, &str)> = found
            .numbers
            .iter()
            .map(|number| (number.place.as_str(), number.text.as_str()))
            .collect();
        assert_eq!((found.talked, numbers.as_slice()), (talked, expected));
    }

    #[test]
    fn contacts_of_google_and_outlook() {
        check(
            "contacts.csv",
            "\u{feff}Name,Phone 1 - Label,Phone 1 - Value,Hotel\r\n\
             \"Doe, Jane\",Mobile,+1 330 555 0100 ::: 330-555-0101,Grand\r\nNobody,,,\r\n",
            false,
            &[
                ("line 2, column \"Phone 1 - Value\"", "+1 330 555 0100"),
                ("line 2, column \"Phone 1 - Value\"", "330-555-0101"),
            ],
        );
        check(
            "outlook.csv",
            "First Name;Business Phone;Business Fax;Mobile Phone\nJane;(330) 555-0102;330;5550103\n",
            false,
            &[
                ("line 2, column \"Business Phone\"", "(330) 555-0102"),
                ("line 2, column \"Mobile Phone\"", "5550103"),
            ],
        );
    }

    #[test]
    fn a_vcard_with_groups_folds_and_uris() {
        check(
            "contacts.vcf",
            "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Jane\r\nTEL;VALUE=uri;TYPE=cell:tel:+1-330-555-0100\r\n\
             item1.TEL:330 555\r\n  0101\r\nTEL;TYPE=FAX:330 555 0102\r\nEND:VCARD\r\n",
            false,
            &[
                ("line 4, TEL", "+1-330-555-0100"),
                ("line 5, TEL", "330 555 0101"),
            ],
        );
    }

    #[test]
    fn call_records_with_names_and_asterisks_without() {
        check(
            "cdr.csv",
            "calldate,clid,src,dst,billsec,disposition\n\
             2026-01-01,\"\"\"J\"\" <1>\",13305550100,101,60,ANSWERED\n\
             2026-01-01,x,13305550101,101,14,ANSWERED\n2026-01-01,x,13305550102,101,0,NO ANSWER\n",
            true,
            &[
                ("line 2, column \"src\"", "13305550100"),
                ("line 2, column \"dst\"", "101"),
            ],
        );
        check(
            "Master.csv",
            "\"\",\"13305550100\",\"s\",\"c\",\"clid\",\"ch\",\"dch\",\"Dial\",\"x\",\"a\",\"b\",\"c\",70,65,\
             \"ANSWERED\",\"D\"\n",
            true,
            &[("line 1, column \"src\"", "13305550100")],
        );
        check(
            "3cx.csv",
            "Call Time,From,To,Status,Ringing,Talking\nx,13305550100,101,Answered,00:00:04,00:01:05\n",
            true,
            &[
                ("line 2, column \"From\"", "13305550100"),
                ("line 2, column \"To\"", "101"),
            ],
        );
    }

    #[test]
    fn a_file_without_numbers_says_what_is_missing() {
        let error = read(Path::new("x.csv"), b"a,b\n1,2\n", CallersFormat::Auto).unwrap_err();
        assert!(error.to_string().contains("line 1: no column"), "{error}");
    }
}
