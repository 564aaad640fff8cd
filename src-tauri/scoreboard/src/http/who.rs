//! Who asks: nobody in particular, a person with a token, or the admin.

use super::App;
use super::error::{Answer, No, no};
use crate::codes;
use crate::store::people::{self, Person};
use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};
use forge_core::board::{RefusalCode, Role};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Nobody,
    Person(Person),
    Admin,
}

impl FromRequestParts<App> for Who {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        let Some(digest) = presented(&parts.headers) else { return Ok(Self::Nobody) };
        if digest == app.admin {
            return Ok(Self::Admin);
        }
        let found = app.store.read(move |tx| people::by_token(tx, &digest)).await?;
        match found {
            Some((person, true)) => Ok(Self::Person(person)),
            Some((_, false)) => Err(no(RefusalCode::KeyRevoked, "The key that this token was issued for was revoked.")
                .0
                .hint("Make a fresh key with `forge keys rotate`, ask for a new code, and enrol again: forge enrol URL CODE")
                .into()),
            None => Err(no(RefusalCode::Unauthorized, "This token is not known here.")),
        }
    }
}

/// The digest of the token that is shown. Digests are compared, so what can be learned from timing is the digest of what the
/// asker sent.
pub fn presented(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?;
    Some(codes::digest(value.to_str().ok().and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default()))
}

impl Who {
    pub fn person(self) -> Answer<Person> {
        match self {
            Self::Person(person) => Ok(person),
            Self::Admin => Err(no(RefusalCode::Forbidden, "This is for members of a class.")),
            Self::Nobody => Err(anonymous()),
        }
    }

    /// The class whose affairs may be looked at; `None` for the admin, who may look at all.
    pub fn teaches(&self) -> Answer<Option<&str>> {
        match self {
            Self::Admin => Ok(None),
            Self::Person(p) if p.role == Role::Instructor => Ok(Some(&p.class)),
            Self::Person(_) => Err(no(RefusalCode::Forbidden, "This is for instructors.")),
            Self::Nobody => Err(anonymous()),
        }
    }

    /// An instructor of this class, or the admin.
    pub fn teaches_class(&self, class: &str) -> Answer<()> {
        match self.teaches()? {
            Some(own) if own != class => Err(no(RefusalCode::OtherTenant, "This belongs to another class.")),
            _ => Ok(()),
        }
    }

    pub fn admin(&self) -> Answer<()> {
        match self {
            Self::Admin => Ok(()),
            Self::Nobody => Err(anonymous()),
            Self::Person(_) => Err(no(RefusalCode::Forbidden, "This is for the admin.")),
        }
    }
}

fn anonymous() -> No {
    no(RefusalCode::Unauthorized, "This needs a token: Authorization: Bearer …")
}
