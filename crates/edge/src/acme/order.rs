//! One order: account, challenges, certificate (RFC 8555 §7).

use std::io;
use std::net::SocketAddr;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use ringfence_control::config::Acme;

use super::client::Client;
use super::folder::Folder;
use super::responder::Responder;
use crate::tls::build::TlsError;

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObtainError {
    /// The authority cannot be asked, or says no.
    #[error("{step}")]
    Authority {
        /// What was asked.
        step: &'static str,
        /// Why.
        #[source]
        source: instant_acme::Error,
    },
    /// The authority has no http-01.
    #[error("the authority does not offer http-01 for {domain}")]
    NoChallenge {
        /// For which.
        domain: String,
    },
    /// The authority did not see the answer to its challenge.
    #[error("the authority could not verify {domain} at port 80: {why}")]
    Refused {
        /// Which.
        domain: String,
        /// What it said.
        why: String,
    },
    /// The address for challenges.
    #[error("{address} (acme.http) cannot be listened at")]
    Respond {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whom to trust.
    #[error("the authority's own certificate cannot be checked")]
    Roots(#[source] TlsError),
    /// The disk.
    #[error("the certificate or the account cannot be kept")]
    Keep(#[source] io::Error),
}

fn asked(step: &'static str) -> impl FnOnce(instant_acme::Error) -> ObtainError {
    move |source| ObtainError::Authority { step, source }
}

/// Orders a certificate and keeps it in `folder`.
pub(super) async fn obtain(acme: &Acme, folder: &Folder) -> Result<(), ObtainError> {
    let account = account(acme, folder).await?;
    let domains: Vec<Identifier> = acme.domains.iter().cloned().map(Identifier::Dns).collect();
    let order = account.new_order(&NewOrder::new(&domains)).await;
    let mut order = order.map_err(asked("the order is not taken"))?;
    let responder = Responder::bind(acme.http).await.map_err(|source| {
        let address = acme.http;
        ObtainError::Respond { address, source }
    })?;
    take_challenges(&mut order, &responder).await?;
    let retries = RetryPolicy::default();
    let status = order.poll_ready(&retries).await;
    let status = status.map_err(asked("the challenges are not judged"))?;
    if !matches!(status, OrderStatus::Ready | OrderStatus::Valid) {
        return Err(why_refused(&mut order).await);
    }
    drop(responder);
    let key = order
        .finalize()
        .await
        .map_err(asked("the order is not finished"))?;
    let chain = order.poll_certificate(&retries).await;
    let chain = chain.map_err(asked("the certificate does not come"))?;
    folder
        .keep_identity(acme, &chain, &key)
        .map_err(ObtainError::Keep)
}

/// The account that was made before, or a new one.
async fn account(acme: &Acme, folder: &Folder) -> Result<Account, ObtainError> {
    let client = || Client::new(acme.ca.as_deref()).map_err(ObtainError::Roots);
    let kept = folder
        .account()
        .and_then(|text| serde_json::from_slice::<(String, AccountCredentials)>(&text).ok())
        .filter(|(directory, _)| *directory == acme.directory);
    if let Some((_, credentials)) = kept {
        let account = Account::builder_with_http(Box::new(client()?));
        let account = account.from_credentials(credentials).await;
        return account.map_err(asked("the authority cannot be asked"));
    }
    let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
    let wanted = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let made = Account::builder_with_http(Box::new(client()?))
        .create(&wanted, acme.directory.clone(), None)
        .await;
    let (account, credentials) = made.map_err(asked("the account is not made"))?;
    let text = serde_json::to_vec(&(&acme.directory, &credentials))
        .map_err(|error| ObtainError::Keep(error.into()))?;
    folder.keep_account(&text).map_err(ObtainError::Keep)?;
    Ok(account)
}

async fn take_challenges(order: &mut Order, responder: &Responder) -> Result<(), ObtainError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(asked("the challenges do not come"))?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.ok_or(ObtainError::NoChallenge { domain })?;
        let answer = challenge.key_authorization();
        responder.answer(&challenge.token, answer.as_str());
        let ready = challenge.set_ready().await;
        ready.map_err(asked("a challenge is not taken"))?;
    }
    Ok(())
}

/// What the authority says about the challenge that failed.
async fn why_refused(order: &mut Order) -> ObtainError {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(authorization) = authorization else {
            continue;
        };
        let problem = authorization
            .challenges
            .iter()
            .find_map(|c| c.error.as_ref());
        if let Some(problem) = problem {
            return ObtainError::Refused {
                domain: authorization.identifier().to_string(),
                why: problem.to_string(),
            };
        }
    }
    ObtainError::Refused {
        domain: "the order".to_owned(),
        why: "it does not say why".to_owned(),
    }
}
