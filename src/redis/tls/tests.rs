//! Whom TLS trusts, and what it says of files that it cannot read.

use super::*;

/// Made by `openssl req -x509 -addext subjectAltName=DNS:localhost`, for a hundred years.
const SELF_SIGNED: &str = "self_signed.pem";

/// The same with `-addext basicConstraints=critical,CA:FALSE`.
const LEAF: &str = "leaf.pem";

/// For elsewhere.example, signed with the key of [`LEAF`].
const ISSUED_BY_LEAF: &str = "issued_by_leaf.pem";

fn data(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).join(name)
}

fn at(path: &PathBuf) -> PemFile<'_> {
    let key = "bridge.ca_file";
    PemFile { key, path }
}

fn trust(name: &str, checks_name: bool) -> Verifier {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Verifier::new(Some(&at(&data(name))), checks_name, &provider).unwrap()
}

fn verifier(checks_name: bool) -> Verifier {
    trust(SELF_SIGNED, checks_name)
}

fn judge_one(
    verifier: &Verifier,
    certificate: &CertificateDer<'_>,
    name: &'static str,
    year: u64,
) -> Result<(), Box<rustls::Error>> {
    let name = ServerName::try_from(name).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600));
    let judged = verifier.verify_server_cert(certificate, &[], &name, &[], now);
    judged.map(drop).map_err(Box::new)
}

fn judge(verifier: &Verifier, name: &'static str, year: u64) -> Result<(), Box<rustls::Error>> {
    judge_one(verifier, &verifier.pinned[0].certificate, name, year)
}

#[test]
fn a_trusted_certificate_that_is_no_authority_speaks_for_itself_alone() {
    let issued = at(&data(ISSUED_BY_LEAF)).certificates().unwrap().remove(0);
    for checks_name in [true, false] {
        let verifier = trust(LEAF, checks_name);
        assert_eq!(judge(&verifier, "localhost", 2050), Ok(()));
        assert!(judge(&verifier, "localhost", 2200).is_err());
        assert_eq!(
            judge_one(&verifier, &issued, "elsewhere.example", 2050),
            Err(Box::new(CertificateError::UnknownIssuer.into()))
        );
    }
    assert!(judge(&trust(LEAF, true), "elsewhere.example", 2050).is_err());
    assert!(verifier(true).pinned[0].is_authority());
}

#[test]
fn a_trusted_certificate_that_calls_itself_an_authority_has_its_name_and_its_time() {
    let verifier = verifier(true);
    assert_eq!(judge(&verifier, "localhost", 2050), Ok(()));
    for (name, year) in [
        ("elsewhere.example", 2050),
        ("127.0.0.1", 2050),
        ("localhost", 2020),
        ("localhost", 2200),
    ] {
        assert!(judge(&verifier, name, year).is_err(), "{name} {year}");
    }
}

#[test]
fn without_the_check_of_names_the_time_is_judged_still() {
    let verifier = verifier(false);
    assert_eq!(judge(&verifier, "elsewhere.example", 2050), Ok(()));
    assert!(judge(&verifier, "localhost", 2200).is_err());
}

#[test]
fn a_certificate_that_is_not_trusted_is_judged_by_its_authority() {
    let mut verifier = verifier(true);
    let other = verifier.pinned.remove(0).certificate;
    assert!(judge_one(&verifier, &other, "localhost", 2050).is_err());
}

#[test]
fn a_file_that_holds_no_certificate_is_named_with_its_key() {
    let path = data("transcript.jsonl");
    let what = PemFile {
        key: "ssl_ca_certs",
        path: &path,
    };
    let what = what.certificates().unwrap_err().to_string();
    assert!(
        what.starts_with("ssl_ca_certs: ") && what.contains("no certificate"),
        "{what}"
    );
}
