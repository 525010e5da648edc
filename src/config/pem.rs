//! What a file holds that should hold a certificate or a key: for messages, which never show any of its bytes.

/// What a file is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PemKind {
    /// At least one certificate.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A public key.
    PublicKey,
}

impl PemKind {
    const fn noun(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
            Self::PublicKey => "public key",
        }
    }

    /// The program that makes PEM of DER.
    const fn conversion(self) -> &'static str {
        match self {
            Self::Certificate => "openssl x509 -inform der",
            Self::PrivateKey => "openssl pkey -inform der",
            Self::PublicKey => "openssl pkey -pubin -inform der",
        }
    }
}

/// What is there instead of what is `wanted`.
pub(crate) fn lack(bytes: &[u8], wanted: PemKind) -> String {
    let noun = wanted.noun();
    match contents(bytes, wanted) {
        _ if bytes.trim_ascii().is_empty() => format!("is empty, and holds no {noun} in PEM"),
        None => format!("holds no {noun} in PEM"),
        Some(BINARY) => format!(
            "holds {BINARY} and no {noun} in PEM, which `{}` makes of DER",
            wanted.conversion()
        ),
        Some(found) => format!("holds {found} and no {noun} in PEM"),
    }
}

const BINARY: &str = "binary data";

/// The first thing in there that has a name and is not what is wanted: `a certificate`; `None` for text of another kind.
fn contents(bytes: &[u8], wanted: PemKind) -> Option<&'static str> {
    // What `openssl` begins a key on a curve with is no kind of its own.
    let of_label = |label: &str| match label {
        "EC PARAMETERS" => None,
        "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => Some("a certificate"),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Some("a request for a certificate"),
        "X509 CRL" => Some("a list of revoked certificates"),
        "ENCRYPTED PRIVATE KEY" => Some("an encrypted private key"),
        "RSA PUBLIC KEY" => {
            Some("an RSA public key of PKCS#1 (for `openssl rsa -RSAPublicKey_in -pubout`)")
        }
        "OPENSSH PRIVATE KEY" => Some("a private key of OpenSSH"),
        label if label.ends_with("PRIVATE KEY") => Some("a private key"),
        label if label.ends_with("PUBLIC KEY") => Some("a public key"),
        _ => Some("PEM of another kind"),
    };
    let text = std::str::from_utf8(bytes).ok();
    let Some(text) = text.filter(|text| !text.contains('\0')) else {
        return Some(BINARY);
    };
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Some("an encrypted private key");
    }
    let labels = text.lines().filter_map(|line| {
        let label = line.trim().strip_prefix("-----BEGIN ")?;
        label.strip_suffix("-----")
    });
    let is_openssh = || {
        ["ssh-", "ecdsa-sha2-"]
            .iter()
            .any(|start| text.starts_with(start))
    };
    let openssh = || is_openssh().then_some("a public key of OpenSSH");
    let is_other = |name: &&str| name.strip_prefix("a ") != Some(wanted.noun());
    let mut named = labels.filter_map(of_label).filter(is_other);
    named.next().or_else(openssh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_named_and_what_is_wanted() {
        let pem =
            |label: &str| format!("# x\n-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let wanted = PemKind::Certificate;
        for (label, found) in [
            ("PRIVATE KEY", "a private key"),
            ("EC PRIVATE KEY", "a private key"),
            ("ENCRYPTED PRIVATE KEY", "an encrypted private key"),
            ("OPENSSH PRIVATE KEY", "a private key of OpenSSH"),
            ("PUBLIC KEY", "a public key"),
            ("CERTIFICATE REQUEST", "a request for a certificate"),
            ("X509 CRL", "a list of revoked certificates"),
            ("DH PARAMETERS", "PEM of another kind"),
        ] {
            let said = format!("holds {found} and no certificate in PEM");
            assert_eq!(lack(pem(label).as_bytes(), wanted), said);
        }
        let mixed = pem("CERTIFICATE") + &pem("X509 CRL");
        let said = "holds a list of revoked certificates and no certificate in PEM";
        assert_eq!(lack(mixed.as_bytes(), wanted), said);
        let key = pem("EC PARAMETERS") + &pem("EC PRIVATE KEY");
        assert_eq!(contents(key.as_bytes(), wanted), Some("a private key"));
        assert_eq!(
            contents(pem("CERTIFICATE").as_bytes(), PemKind::PublicKey),
            Some("a certificate")
        );
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
        assert_eq!(
            contents(old.as_bytes(), wanted),
            Some("an encrypted private key")
        );
        let ssh = b"ssh-ed25519 AAAA me";
        assert_eq!(contents(ssh, wanted), Some("a public key of OpenSSH"));
    }

    #[test]
    fn a_file_without_pem_is_told_from_an_empty_one_and_from_der() {
        for (bytes, wanted, said) in [
            (
                &b" \n"[..],
                PemKind::PublicKey,
                "is empty, and holds no public key in PEM",
            ),
            (b"hello", PemKind::PrivateKey, "holds no private key in PEM"),
            (
                b"\x30\x82\x01\xff",
                PemKind::PrivateKey,
                "holds binary data and no private key in PEM, which `openssl pkey -inform der` makes of DER",
            ),
        ] {
            assert_eq!(lack(bytes, wanted), said);
        }
    }
}
