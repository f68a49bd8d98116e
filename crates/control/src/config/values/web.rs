//! The Origin of a web page.

use super::Fault;

/// `https://phone.example` or with a port, as browsers write it in Origin (RFC 6454 §6.2).
pub(in crate::config) fn origin(text: &str) -> Result<String, Fault> {
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let good = host.is_some_and(|host| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        !host.is_empty() && host.bytes().all(known)
    });
    match good {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Fault::new(
            "is no Origin of a web page",
            "write \"https://phone.example\", with the port if it is not 443, without a path",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host_rfc6454_6_2() {
        assert_eq!(
            origin("https://Phone.Example:8443").unwrap(),
            "https://phone.example:8443"
        );
        for bad in [
            "phone.example",
            "https://",
            "https://phone.example/",
            "ftp://a",
            "*",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
