//! `acme = { … }` of a listener: certificates that come by themselves.

use std::net::{IpAddr, SocketAddr};

use toml::de::DeTable;

use super::model::Acme;
use super::report::Report;
use super::table::Section;
use super::values::{self, Fault};

/// Reads the table at `path`.
pub(super) fn read(report: &mut Report<'_>, path: &str, table: &DeTable<'_>) -> Option<Acme> {
    let mut section = Section::new(report, path, table);
    let directory = section.parsed("directory", directory);
    let contact = section.list("contact", contact);
    let domains = section.list("domains", domain);
    let http = section.parsed("http", http);
    let ca = section.path("ca");
    let agrees = section.boolean("agree_to_terms");
    section.require(
        "directory",
        "write directory = \"https://acme-v02.api.letsencrypt.org/directory\"",
    );
    section.require("domains", "write domains = [\"sip.example.com\"]");
    section.require("http", "write http = \"0.0.0.0:80\"");
    if agrees != Some(true) && !section.report().incomplete {
        let key = section.key("agree_to_terms");
        let message = "is not true, and no authority signs without";
        let fix = "read the authority's terms of service and write agree_to_terms = true";
        section.report().error(&key, message, fix);
    }
    if domains.as_ref().is_some_and(Vec::is_empty) {
        let key = section.key("domains");
        let fix = "write domains = [\"sip.example.com\"]";
        section.report().error(&key, "names no domain", fix);
    }
    section.finish();
    Some(Acme {
        directory: directory?,
        contact: contact.unwrap_or_default(),
        domains: domains.filter(|domains| !domains.is_empty())?,
        http: http?,
        ca,
    })
}

fn domain(text: &str) -> Result<String, Fault> {
    let name = values::certificate_name(text)?;
    match name.parse::<IpAddr>() {
        Ok(_) => Err(Fault::new(
            "is an address, not a name",
            "write the name that leads to it",
        )),
        Err(_) => Ok(name),
    }
}

/// It stands in no message of ours: any address of the host will do.
fn http(text: &str) -> Result<SocketAddr, Fault> {
    text.parse()
        .map_err(|_| Fault::new("is no address with a port", "write \"0.0.0.0:80\""))
}

fn directory(text: &str) -> Result<String, Fault> {
    match text.strip_prefix("https://") {
        Some(rest) if !rest.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(text.to_owned())
        }
        _ => Err(Fault::new(
            "is no URL of an ACME directory",
            "write \"https://…\", as the authority documents it",
        )),
    }
}

fn contact(text: &str) -> Result<String, Fault> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let good = address.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && address.bytes().all(|b| b.is_ascii_graphic())
    });
    match good {
        true => Ok(format!("mailto:{address}")),
        false => Err(Fault::new(
            "is no mail address",
            "write \"admin@example.com\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;

    const HEAD: &str = "[edge]\ndata = \"/var/lib/ringfence\"\n[listen.outside]\n\
        tls = \"192.0.2.1:5061\"\n";

    #[track_caller]
    fn faults(acme: &str) -> Vec<String> {
        let error = parse(&format!("{HEAD}{acme}\n"), Path::new("ringfence.toml")).unwrap_err();
        error.diagnostics.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_listener_with_acme_keeps_its_certificate_in_the_data_folder() {
        let acme = "acme = { directory = \"https://acme.example/dir\", domains = [\"a.example\"], \
            http = \"0.0.0.0:80\", contact = [\"a@b.example\"], agree_to_terms = true }\n";
        let text = format!("{HEAD}{acme}");
        let config = parse(&text, Path::new("ringfence.toml")).unwrap().config;
        let listen = &config.listeners[0];
        let identity = Path::new("/var/lib/ringfence/acme/outside/identity.pem");
        assert_eq!(listen.certificate.as_deref(), Some(identity));
        assert_eq!(
            listen.acme.as_ref().unwrap().contact,
            ["mailto:a@b.example"]
        );
    }

    #[test]
    fn what_is_missing_and_what_contradicts_is_said_at_once() {
        let all = faults("acme = { directory = \"http://a\", domains = [] }").join("\n");
        for part in [
            "no URL of an ACME",
            "acme.http",
            "agree_to_terms",
            "names no domain",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
        let both = faults(
            "certificate = \"a.pem\"\nacme = { directory = \"https://a/d\", \
             domains = [\"a.example\"], http = \"0.0.0.0:80\", agree_to_terms = true }",
        );
        assert!(both.join("\n").contains("brought by acme"), "{both:?}");
    }
}
