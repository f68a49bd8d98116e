//! ISO 3166-1 alpha-2 countries, and the emergency numbers that people there dial.

/// Whether `code` is an officially assigned code, in capitals.
pub(super) fn is_country(code: &str) -> bool {
    code.len() == 2 && CODES.split(' ').any(|known| known == code)
}

/// The code that was meant by a common mistake: lower case, `UK`, `USA`.
pub(super) fn meant(text: &str) -> Option<&'static str> {
    let text = text.trim().to_ascii_uppercase();
    let code = match text.as_str() {
        "UK" | "EN" => "GB",
        "USA" => "US",
        "CAN" => "CA",
        "GER" | "DEU" => "DE",
        "MEX" => "MX",
        "EL" => "GR",
        other => other,
    };
    CODES.split(' ').find(|known| *known == code)
}

/// What people dial for help in `country`; used only to propose `emergency = […]`.
pub(super) fn emergency_numbers(country: &str) -> &'static [&'static str] {
    match country {
        "US" | "CA" | "PR" | "GU" | "VI" | "AS" | "MP" => &["911", "933"],
        "MX" => &["911"],
        "GB" | "IE" => &["999", "112"],
        "AU" => &["000", "112"],
        "NZ" => &["111"],
        _ => &["112"],
    }
}

const CODES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL \
BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK \
DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU \
GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ \
LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY \
MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU \
RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO \
TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_sorted() {
        let codes: Vec<&str> = CODES.split(' ').collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.is_sorted());
    }

    #[test]
    fn common_mistakes_find_the_code() {
        assert!(is_country("US") && !is_country("us") && !is_country("UK"));
        assert_eq!(meant("uk"), Some("GB"));
        assert_eq!(meant("usa"), Some("US"));
        assert_eq!(meant("de"), Some("DE"));
        assert_eq!(meant("Narnia"), None);
    }
}
