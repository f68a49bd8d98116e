//! When a certificate ends (RFC 5280 §4.1.2.5), for the status and the doctor.
//!
//! Reads exactly the fields on the way to `notAfter`. Whether the certificate can be trusted is
//! not asked here: TLS does that.

use std::path::Path;

use ringfence_base::UnixTime;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// When the first certificate of the PEM file `path` ends; `None` if there is none to be read.
pub fn ends(path: &Path) -> Option<UnixTime> {
    let certificate = CertificateDer::from_pem_file(path).ok()?;
    not_after(&certificate)
}

/// When the first certificate of the PEM file `path` begins and ends.
pub fn validity(path: &Path) -> Option<(UnixTime, UnixTime)> {
    let certificate = CertificateDer::from_pem_file(path).ok()?;
    let validity = validity_field(&certificate)?;
    let (_, after) = any_element(validity)?;
    Some((time(validity)?, time(after)?))
}

/// The `notAfter` of a certificate in DER.
pub fn not_after(der: &[u8]) -> Option<UnixTime> {
    let (_, after) = any_element(validity_field(der)?)?; // notBefore
    time(after)
}

fn validity_field(der: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = element(fields, tag)?; // serialNumber, signature, issuer
    }
    element(fields, SEQUENCE).map(|(validity, _)| validity)
}

/// The first element of `der`, which must be a time.
fn time(der: &[u8]) -> Option<UnixTime> {
    let (tag, time, _) = tagged(der)?;
    let text = std::str::from_utf8(time).ok()?;
    let text = match tag {
        // Two digits of year: 50 to 99 are of the last century.
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(UnixTime::from_micros(time.as_microsecond()))
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The content of the first element, which must have `tag`, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = tagged(der)?;
    (found == tag).then_some((content, rest))
}

fn any_element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    tagged(der).map(|(_, content, rest)| (content, rest))
}

/// Tag, content and what follows, of the first element.
fn tagged(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, der) = der.split_first()?;
    let (&first, der) = der.split_first()?;
    let (length, der) = match first {
        0..=0x7f => (usize::from(first), der),
        0x81..=0x83 => {
            let (bytes, der) = der.split_at_checked(usize::from(first & 0x7f))?;
            (
                bytes
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte)),
                der,
            )
        }
        _ => return None,
    };
    let (content, rest) = der.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> rcgen::Certificate {
        let mut params = rcgen::CertificateParams::new(["edge.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 11, 22);
        params
            .self_signed(&rcgen::KeyPair::generate().unwrap())
            .unwrap()
    }

    #[track_caller]
    fn check(year: i32, expected: &str) {
        let ends = not_after(certificate(year).der()).unwrap();
        assert_eq!(crate::api::Timestamp(ends).to_string(), expected);
    }

    #[test]
    fn the_end_is_read_in_both_forms_of_time() {
        check(2027, "2027-11-22T00:00:00.000000Z");
        check(2049, "2049-11-22T00:00:00.000000Z");
        check(2051, "2051-11-22T00:00:00.000000Z");
    }

    #[test]
    fn a_file_is_read_by_its_first_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.pem");
        std::fs::write(&path, certificate(2027).pem() + &certificate(2030).pem()).unwrap();
        assert_eq!(ends(&path), not_after(certificate(2027).der()));
        assert_eq!(ends(&folder.path().join("gone.pem")), None);
    }

    #[test]
    fn a_cut_or_bent_certificate_has_no_end_and_does_no_harm() {
        let certificate = certificate(2027);
        let der = certificate.der();
        assert!((0..der.len().min(200)).all(|length| not_after(&der[..length]).is_none()));
        for index in 0..der.len() {
            for value in [0, 0x7f, 0x80, 0x83, 0x84, 0xff] {
                let mut bent = der.to_vec();
                bent[index] = value;
                let _ = not_after(&bent);
            }
        }
    }
}
