//! Lets a request through to its handler when who sent it may do that, and says in the log who changed what.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::info;

use super::patient::limited;
use super::{AUDIT, Access, Identity};
use crate::error::WebError;
use crate::pages::message;
use crate::peer::Peer;
use crate::route_scopes::{Needs, needs};
use crate::routes::PAGES;

/// Who a request comes from, for handlers; nobody where everybody may do everything.
#[derive(Debug, Clone, Default)]
pub struct SignedIn(pub Option<Identity>);

impl SignedIn {
    /// The name of who signed in; where nobody did, the one that the request says.
    #[must_use]
    pub fn or_said(self, said: Option<String>) -> Option<String> {
        self.0.map(|who| who.name.to_string()).or(said)
    }
}

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}

/// See the module. A route that nobody put into the table is one for `admin`.
pub async fn guard(State(access): State<Access>, path: MatchedPath, mut request: Request, next: Next) -> Response {
    let needs = needs(request.method(), path.as_str());
    if needs == Needs::Nothing {
        return next.run(request).await;
    }
    let from = request.extensions().get().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer: &Peer| peer.address);
    let who = match admitted(&access, needs, request.headers(), from).await {
        Ok(who) => who,
        Err(error) if request.uri().path().starts_with(PAGES) => return message::failed(&error),
        Err(error) => return error.into_response(),
    };
    let changed = needs.changes().then(|| (request.method().clone(), request.uri().path().to_owned()));
    let name = who.as_ref().map(|who| who.name.clone());
    if let Some(who) = who {
        request.extensions_mut().insert(who);
    }
    let response = next.run(limited(request)).await;
    if let Some((method, path)) = changed {
        let (who, status) = (name.as_deref().unwrap_or("anybody"), response.status().as_u16());
        info!(target: AUDIT, who, %from, %method, path, status, "a request to change something");
    }
    response
}

async fn admitted(
    access: &Access,
    needs: Needs,
    headers: &HeaderMap,
    from: IpAddr,
) -> Result<Option<Identity>, WebError> {
    let Some(who) = access.identify(headers, from).await? else { return Ok(None) };
    match needs {
        Needs::Scope(scope) if !who.scopes.allow(scope) => {
            let reason = format!("This needs the scope {}, which {} does not have", scope.word(), who.name);
            Err(WebError::Denied(reason))
        }
        _ => Ok(Some(who)),
    }
}
