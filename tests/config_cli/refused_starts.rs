//! Addresses that cannot be had, and files of keys and certificates that are none: what is said, and exit codes.

use super::run;
use std::path::Path;

#[test]
fn a_busy_port_is_one_sentence_and_exit_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let api = format!("api.listen={address}");
    let redirect = format!("http.redirect={address}");
    let token = "api.token=0123456789abcdef0123456789abcdef";
    let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for (arguments, key) in [
        (
            &["--listen", &address, "--admin", "127.0.0.1:0"][..],
            "server.listen",
        ),
        (
            &["--listen", "127.0.0.1:0", "--admin", &address],
            "admin.listen",
        ),
        (
            &[&free[..], &["--set", &redirect]].concat(),
            "http.redirect",
        ),
        (
            &[&free[..], &["--set", &api, "--set", token]].concat(),
            "api.listen",
        ),
    ] {
        let run = run(arguments);
        assert_eq!(run.code, Some(1), "{}", run.all);
        for fragment in [
            format!("cannot listen on {address} ({key}): Address already in use"),
            format!("give {key} another port"),
        ] {
            assert!(run.all.contains(&fragment), "{}", run.all);
        }
    }
}

#[test]
fn an_address_of_another_machine_is_refused_with_what_to_write() {
    // RFC 5737: nobody's.
    let run = run(&["--listen", "192.0.2.1:8000", "--admin", "127.0.0.1:0"]);
    assert_eq!(run.code, Some(1), "{}", run.all);
    let fix =
        "give server.listen one of its own (`ip address`), or all of them by \"0.0.0.0:8000\"";
    assert!(run.all.contains(fix), "{}", run.all);
}

/// Checks that the settings with a file at this key are refused with the key, the file and these words.
#[track_caller]
fn assert_told(settings: &[&str], key: &str, files: &[(&Path, &str)]) {
    for (file, told) in files {
        let path = file.to_str().expect("a name");
        let named = format!("{key}={path}");
        let mut arguments = vec!["check"];
        for set in settings.iter().copied().chain([&*named]) {
            arguments.extend(["--set", set]);
        }
        let run = run(&arguments);
        assert_eq!(run.code, Some(64), "{}", run.all);
        assert!(run.all.contains(&format!("{key}: {path}: ")), "{}", run.all);
        assert!(run.all.contains(told), "{told}: {}", run.all);
    }
}

#[test]
fn files_of_keys_and_certificates_are_told_by_what_is_in_them() {
    let data = crate::support::repository().join("tests/data/tls");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [empty, binary] =
        [("empty", &b""[..]), ("binary", b"\x30\x82\x01\xfd")].map(|(name, content)| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("a file");
            path
        });
    let url = "auth.forward.url=https://site.example/";
    assert_told(
        &["auth.mode=forward", url],
        "auth.forward.ca_file",
        &[
            (&empty, "is empty, and holds no certificate in PEM"),
            (&binary, "`openssl x509 -inform der`"),
            (
                &data.join("main.key"),
                "holds a private key and no certificate",
            ),
            (&data.join("no"), "cannot be read: No such file"),
        ],
    );
    let request = "holds a request for a certificate and no public key";
    let encrypted = "holds an encrypted private key and no public key";
    assert_told(
        &["auth.mode=jwt"],
        "auth.jwt.keys",
        &[
            (&empty, "is empty, and holds no public key in PEM"),
            (&binary, "`openssl pkey -pubin -inform der`"),
            (&data.join("encrypted.key"), encrypted),
            (&data.join("request.pem"), request),
        ],
    );
}
