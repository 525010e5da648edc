//! What can be wrong with a token: a label for metrics, and a sentence for whoever asks `supportal token --check`.

/// Why a token is refused. No client is told which of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("there are two tokens in one place: it is not clear which is meant")]
    Unclear,
    #[error("the token is longer than auth.jwt.token_bytes")]
    TooLong,
    #[error(
        "the token has not the form header.claims.signature, each in base64url without padding"
    )]
    Form,
    #[error("the header is not a JSON object of at most 32 members, each once")]
    Header,
    #[error("the header names no algorithm, or one that is not accepted (`none` never is)")]
    Algorithm,
    #[error("the header's `typ` is not JWT")]
    Type,
    #[error(
        "the header asks for something that is not supported: `crit`, `b64`, `zip`, `enc` or `cty`"
    )]
    Extension,
    #[error(
        "the header brings a key or says where to fetch one (`jwk`, `jku`, `x5u`, `x5c`): no token chooses its key"
    )]
    OwnKey,
    #[error("the header's `kid` is not a text of at most 256 bytes")]
    KeyId,
    #[error("no key of the settings is for this algorithm and `kid`")]
    NoKey,
    #[error("the signature is not that of a key of the settings")]
    Signature,
    #[error("the claims are not a JSON object of at most 64 members, each once")]
    Claims,
    #[error("`exp` is missing, or no number of seconds since 1970")]
    Expiry,
    #[error("the token has expired (`exp`)")]
    Expired,
    #[error("the token is not valid yet (`nbf`)")]
    NotYet,
    #[error("the token was issued in the future (`iat`)")]
    Issued,
    #[error("the issuer (`iss`) is not in auth.jwt.issuer")]
    Issuer,
    #[error("no audience (`aud`) is in auth.jwt.audience")]
    Audience,
    #[error("`sub` is not a text of 1 to 255 bytes without control characters")]
    Subject,
    #[error("`role` is none of customer, agent, backend")]
    Role,
    #[error(
        "`business_id` or `session_id` is no id, and no list of ids, or they make more than 32 rooms"
    )]
    Rooms,
}

impl Flaw {
    /// The label, also of debug lines.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unclear => "unclear",
            Self::TooLong => "too_long",
            Self::Form => "form",
            Self::Header => "header",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Extension => "extension",
            Self::OwnKey => "own_key",
            Self::KeyId => "key_id",
            Self::NoKey => "no_key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Expiry => "expiry",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Issued => "issued",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Role => "role",
            Self::Rooms => "rooms",
        }
    }
}
