//! A server's certificate that is not believed, told as what it is: each kind has another remedy.

use rustls::CertificateError;

/// What is wrong with a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Signed by nobody that is believed here.
    Stranger,
    /// It is for these names.
    OtherName(Vec<String>),
    /// It ended before what this machine's clock says,
    Over,
    /// or begins after that.
    Early,
    /// In the TLS library's words.
    Unsound(String),
}

impl Distrust {
    /// None when it was something else that went wrong.
    pub(super) fn of(e: &reqwest::Error) -> Option<Self> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
        loop {
            let this = cause?;
            if let Some(rustls::Error::InvalidCertificate(wrong)) = this.downcast_ref() {
                return Some(Self::named(wrong));
            }
            // An error of input or output does not name as its source what it was made of.
            let made_of = this.downcast_ref().and_then(std::io::Error::get_ref);
            cause = match made_of {
                Some(inner) => Some(inner),
                None => this.source(),
            };
        }
    }

    fn named(wrong: &CertificateError) -> Self {
        use CertificateError as C;
        match wrong {
            // A certificate under the name of a trusted one, and with another key, is somebody else's as well.
            C::UnknownIssuer | C::BadSignature => Self::Stranger,
            C::NotValidForName => Self::OtherName(Vec::new()),
            C::NotValidForNameContext { presented, .. } => {
                Self::OtherName(presented.iter().map(|n| spelled(n)).collect())
            }
            C::Expired | C::ExpiredContext { .. } => Self::Over,
            C::NotValidYet | C::NotValidYetContext { .. } => Self::Early,
            other => {
                let said = other.to_string();
                let authority = said.contains("CaUsedAsEndEntity");
                Self::Unsound(if authority { "it is made for an authority, not for a server".into() } else { said })
            }
        }
    }

    /// What goes on after "its certificate".
    pub fn words(&self) -> String {
        match self {
            Self::Stranger => "is signed by nobody that this machine trusts; it may be another server".into(),
            Self::OtherName(names) if names.is_empty() => "is for another address".into(),
            Self::OtherName(names) => format!("is for {}, not for this address", names.join(", ")),
            Self::Over => "has expired, by this machine’s clock".into(),
            Self::Early => "is not valid yet, by this machine’s clock".into(),
            Self::Unsound(why) => format!("is not sound ({why})"),
        }
    }
}

/// `DnsName("board.example")` as it is written everywhere else.
fn spelled(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"').chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_the_library_is_shown() {
        let authority = CertificateError::Other(rustls::OtherError(std::sync::Arc::new(std::io::Error::other(
            "CaUsedAsEndEntity",
        ))));
        for (wrong, says) in [
            (CertificateError::UnknownIssuer, "signed by nobody"),
            (CertificateError::BadSignature, "signed by nobody"),
            (CertificateError::NotValidForName, "is for another address"),
            (CertificateError::Expired, "has expired"),
            (CertificateError::NotValidYet, "not valid yet"),
            (authority, "(it is made for an authority, not for a server)"),
        ] {
            assert!(Distrust::named(&wrong).words().contains(says), "{wrong:?}");
        }
        assert_eq!(
            [r#"DnsName("board.example")"#, "IpAddress(127.0.0.1)"].map(spelled),
            ["board.example", "127.0.0.1"]
        );
    }
}
