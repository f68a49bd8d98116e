//! Whose data a query is about.

use crate::error::QueryError;

/// Whose records. There is no default: a query that names nobody does not compile, and one that
/// names an empty tenant is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Everybody's: for those who run the edge.
    Fleet,
    /// One tenant's, by its key.
    Tenant(&'a str),
}

impl<'a> Scope<'a> {
    /// The tenant to filter by; `None` is everybody.
    pub(crate) fn tenant(self) -> Result<Option<&'a str>, QueryError> {
        match self {
            Scope::Fleet => Ok(None),
            Scope::Tenant("") => Err(QueryError::NoTenant),
            Scope::Tenant(tenant) => Ok(Some(tenant)),
        }
    }
}
