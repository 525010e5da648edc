use super::*;
use crate::config::TlsSite;
use crate::tls::CertificateFault;

/// A certificate and a key, by the names of their files.
fn pair(certificate: &str, key: &str) -> TlsSettings {
    TlsSettings {
        certificate: Some(file(certificate)),
        key: Some(file(key)),
        ..TlsSettings::default()
    }
}

fn fault(settings: &TlsSettings) -> CertificateFault {
    match TlsServer::check(settings) {
        Err(fault) => fault,
        Ok(warnings) => panic!("taken, with {warnings:?}"),
    }
}

/// A folder with a file of this text, and the settings that name it beside a good one.
fn written(name: &str, text: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

/// The files of certificate and key, and which setting, which words and which fix are named.
const BAD_FILES: [(&str, &str, &str, &str, &str); 14] = [
    (
        "missing.pem",
        "main.key",
        "tls.certificate",
        "cannot be read",
        "path of a file",
    ),
    (
        "main.pem",
        "missing.key",
        "tls.key",
        "cannot be read",
        "path of a file",
    ),
    (
        "",
        "main.key",
        "tls.certificate",
        "cannot be read",
        "path of a file",
    ),
    (
        "main.key",
        "main.pem",
        "tls.certificate",
        "holds a private key and no certificate",
        "name the certificate here",
    ),
    (
        "main.pem",
        "main.pem",
        "tls.key",
        "holds a certificate and no private key",
        "name the private key here",
    ),
    (
        "request.pem",
        "main.key",
        "tls.certificate",
        "a request for a certificate",
        "the authority made of it",
    ),
    (
        "main.der",
        "main.key",
        "tls.certificate",
        "no certificate in PEM",
        "openssl x509 -inform der",
    ),
    (
        "make",
        "main.key",
        "tls.certificate",
        "no certificate in PEM",
        "give a chain in PEM",
    ),
    (
        "main.pem",
        "make",
        "tls.key",
        "no private key in PEM",
        "PKCS#8",
    ),
    (
        "main.pem",
        "encrypted.key",
        "tls.key",
        "an encrypted private key",
        "openssl pkey",
    ),
    (
        "main.pem",
        "encrypted_old.key",
        "tls.key",
        "an encrypted private key",
        "openssl pkey",
    ),
    (
        "main.pem",
        "renewed.key",
        "tls.certificate",
        "is not the certificate of this key",
        "name the key",
    ),
    (
        "main.pem",
        "rsa.key",
        "tls.certificate",
        "is not the certificate of this key",
        "name the key",
    ),
    (
        "weak.pem",
        "weak.key",
        "tls.key",
        "cannot be used",
        "RSA of 2048 bits",
    ),
];

#[test]
fn a_file_that_is_not_what_its_setting_says_is_named_with_the_fix() {
    for (certificate, key, at, what, fix) in BAD_FILES {
        let fault = fault(&pair(certificate, key));
        let text = fault.to_string();
        assert_eq!(&*fault.key, at, "{text}");
        assert!(text.contains(what) && text.contains(fix), "{text}");
        let path = if at == "tls.key" { key } else { certificate };
        assert!(text.contains(&file(path).display().to_string()), "{text}");
        assert!(!text.contains("BEGIN"), "{text}");
    }
}

#[test]
fn texts_that_somebody_put_together_wrongly_are_named_with_the_fix() {
    let (main, key) = (read("main.pem"), read("main.key"));
    let cut = &main[..main.len() - 30];
    let wrong_order = [&read("authority.pem")[..], &main].concat();
    let both = [&main[..], &key].concat();
    for (text, what) in [
        (&b""[..], "is empty"),
        (b" \n\n", "is empty"),
        (cut, "is no PEM"),
        (
            &wrong_order,
            "does not begin with the certificate of the key",
        ),
        (&both, "holds a private key beside the certificate"),
        (&vec![b'a'; 2 << 20], "has more than 1 MiB"),
    ] {
        let (_folder, path) = written("chain.pem", text);
        let settings = TlsSettings {
            certificate: Some(path),
            ..settings("main")
        };
        let fault = fault(&settings);
        assert!(fault.text.contains(what), "{fault}");
    }
    let two = [&key[..], &read("site.key")].concat();
    let (_folder, path) = written("keys.pem", &two);
    let settings = TlsSettings {
        key: Some(path),
        ..settings("main")
    };
    assert!(fault(&settings).text.contains("more than one private key"));
    let (_folder, path) = written("both.pem", &both);
    let in_one_file = TlsSettings {
        certificate: Some(path.clone()),
        key: Some(path),
        ..TlsSettings::default()
    };
    assert_eq!(TlsServer::check(&in_one_file), Ok(Vec::new()));
}

#[test]
fn what_browsers_would_not_take_is_warned_of() {
    let said = |settings: &TlsSettings| TlsServer::check(settings).unwrap().join("; ");
    assert_eq!(said(&settings("main")), "");
    assert_eq!(said(&settings("rsa")), "");
    let expired = said(&settings("expired"));
    assert_eq!(expired, "tls.certificate: has expired; renew it");
    let foreign = TlsSettings {
        sites: vec![TlsSite {
            names: vec![
                "site.example".to_owned(),
                "*.site.example".to_owned(),
                "else.example".to_owned(),
            ],
            certificate: file("site.pem"),
            key: file("site.key"),
        }],
        ..settings("main")
    };
    let text = "tls.sites[0].certificate: is not for \"else.example\", a name of this site";
    assert_eq!(said(&foreign), text);
}

/// The certificate that a client is shown who asks for this name.
fn shown(server: &Arc<TlsServer>, name: &str) -> CertificateDer<'static> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut config = client_config();
    let anybody = Arc::new(Anybody);
    config.dangerous().set_certificate_verifier(anybody);
    let mut ends = Ends::named(server, config, name);
    ends.shake_hands();
    ends.client.peer_certificates().unwrap()[0].clone()
}

#[test]
fn the_name_chooses_the_certificate() {
    let settings = TlsSettings {
        sites: vec![TlsSite {
            names: vec!["Site.Example".to_owned(), "*.site.example".to_owned()],
            certificate: file("site.pem"),
            key: file("site.key"),
        }],
        ..settings("main")
    };
    let server = TlsServer::new(&settings, &Arc::new(Metrics::new())).unwrap();
    let server = Arc::new(server);
    let [main, site] = ["main", "site"]
        .map(|name| CertificateDer::from_pem_file(file(&format!("{name}.pem"))).unwrap());
    for (name, certificate) in [
        ("main.example", &main),
        ("site.example", &site),
        ("SITE.example", &site),
        ("a.site.example", &site),
        ("a.b.site.example", &main),
        ("example", &main),
        ("127.0.0.1", &main),
    ] {
        assert!(shown(&server, name) == *certificate, "{name}");
    }
}

#[test]
fn renewed_files_are_taken_and_bad_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    let put = |name: &str, path: &PathBuf| std::fs::copy(file(name), path).unwrap();
    put("main.pem", &chain);
    put("main.key", &key);
    let settings = TlsSettings {
        certificate: Some(chain.clone()),
        key: Some(key.clone()),
        ..TlsSettings::default()
    };
    let metrics = Arc::new(Metrics::new());
    let server = Arc::new(TlsServer::new(&settings, &metrics).unwrap());
    assert_eq!(
        metrics.tls_certificate_expiry.get(),
        4_733_510_400,
        "2120-01-01"
    );
    let before = shown(&server, "localhost");
    server.look();
    assert!(shown(&server, "localhost") == before, "nothing has changed");
    let mut old = Ends::new(&server, client_config());
    old.shake_hands();
    // Half of it: the key is still the old one.
    put("renewed.pem", &chain);
    server.look();
    assert!(shown(&server, "localhost") == before, "the old one stays");
    put("renewed.key", &key);
    server.take(server.read().unwrap());
    assert!(shown(&server, "localhost") != before);
    assert_eq!(old.write(b"still here").unwrap(), 10);
    assert_eq!(old.receive().unwrap(), b"still here");
    std::fs::remove_file(&key).unwrap();
    server.look();
    assert!(
        shown(&server, "localhost") != before,
        "the renewed one stays"
    );
}

/// Takes any certificate.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
