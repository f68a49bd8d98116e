//! Known callers: how many, who of them, and numbers that a business brings along.

use ringfence_session::numbering::e164_of;
use ringfence_session::plan::{Plan, Tenant};
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Most numbers of one import; a longer list is sent in pieces.
pub const IMPORT_MAX: usize = 2_000;

/// `ringfence callers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownCallersStatus {
    /// When this was so.
    pub at: Timestamp,
    /// A row for each tenant.
    pub tenants: Vec<TenantCallers>,
}

/// The known callers of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantCallers {
    /// Key of the tenant.
    pub tenant: String,
    /// Numbers that are remembered, faded ones with them.
    pub remembered: usize,
}

/// Numbers to make known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallersImport {
    /// Key of the tenant; may be left out if there is one only.
    pub tenant: Option<String>,
    /// They stand in records of answered calls, so they count as one talk each, which fades within
    /// months; else they are contacts, and known for years.
    pub talked: bool,
    /// Only say what would be taken.
    pub dry_run: bool,
    /// The numbers, at most [`IMPORT_MAX`].
    pub numbers: Vec<GivenNumber>,
}

/// A number as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenNumber {
    /// Where: `line 7, column "Mobile Phone"`.
    pub place: String,
    /// As it is written there.
    pub text: String,
}

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallersImported {
    /// Key of the tenant.
    pub tenant: String,
    /// Numbers that are known now (or would be).
    pub taken: usize,
    /// Of those, numbers that were not known before.
    pub new: usize,
    /// Numbers of the tenant's own sites, and extensions: nobody calls from there.
    pub own: usize,
    /// What is no number.
    pub refused: Vec<RefusedNumber>,
    /// Numbers that are remembered now.
    pub remembered: usize,
}

/// Something that is no number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedNumber {
    /// Where it stands.
    pub place: String,
    /// As it is written there.
    pub text: String,
    /// Why.
    pub why: String,
}

/// What a number is to a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerStanding {
    /// Key of the tenant.
    pub tenant: String,
    /// The number in international form.
    pub number: String,
    /// `known`, `called-back` (the business called it within a day) or `stranger`.
    pub standing: String,
    /// In a sentence.
    pub why: String,
}

/// What a text in a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A number in international form.
    Number(String),
    /// One of the tenant's own, or an extension.
    Own,
    /// None, and why.
    Refused(&'static str),
}

/// Reads a number as people write it, in the country of `tenant`.
pub fn read_number(plan: &Plan, tenant: &Tenant, text: &str) -> Read {
    // What stands behind is an extension of theirs: `+1 330 555 0100 x12`.
    let text = text.split(['x', ';', ',']).next().unwrap_or_default();
    let is_separator = |c: char| c.is_whitespace() || "-().\u{a0}\u{2011}\u{2013}/".contains(c);
    // `(0)` in an international number is written for those at home.
    let shown = match text.trim_start().starts_with('+') {
        true => text.replace("(0)", ""),
        false => text.to_owned(),
    };
    let number: String = shown.chars().filter(|c| !is_separator(*c)).collect();
    if number.is_empty() {
        return Read::Refused("it is empty");
    }
    let digits = number.strip_prefix('+').unwrap_or(&number);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Read::Refused("it has other signs than digits");
    }
    if digits.len() < EXTENSION_DIGITS && digits.len() == number.len() {
        return Read::Own;
    }
    let Some(number) = e164_of(&tenant.country, &number) else {
        return Read::Refused(
            "it is no number of the tenant's country; write +, country and number",
        );
    };
    let mut sites = plan.sites.iter();
    let own = sites.any(|site| {
        site.owns(&number)
            && plan
                .tenant_of(site)
                .is_some_and(|own| own.key == tenant.key)
    });
    if own { Read::Own } else { Read::Number(number) }
}

/// Fewer digits are an extension.
const EXTENSION_DIGITS: usize = 7;
