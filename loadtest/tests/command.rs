//! The program as a user starts it: its exit code, its file of figures, and what Ctrl-C leaves.

#[cfg(test)]
mod command {
    use serde_json::Value;
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};

    const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

    /// A floor that ends with the test.
    struct Floor {
        process: Child,
        url: String,
    }

    impl Floor {
        fn start(flags: &[&str]) -> Self {
            // A port that was free a moment ago: the floor has no way to say which one it got.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            drop(listener);
            let mut floor = Command::new(LOADTEST);
            floor.args(["floor", "--listen", &address]).args(flags);
            let mut process = floor.spawn().unwrap();
            while TcpStream::connect(&address).is_err() {
                assert!(process.try_wait().unwrap().is_none(), "the floor ended");
            }
            let url = format!("ws://{address}");
            Self { process, url }
        }
    }

    impl Drop for Floor {
        fn drop(&mut self) {
            self.process.kill().unwrap();
            self.process.wait().unwrap();
        }
    }

    /// The exit code and the figures of a run, which is sent SIGINT once it says that it measures if `interrupt` is set.
    fn run(floor: &Floor, flags: &str, interrupt: bool) -> (Option<i32>, Value) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("figures.json");
        let mut run = Command::new(LOADTEST)
            .args(flags.split_whitespace())
            .args(["--url", &floor.url, "--warmup", "0s", "--json"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(run.stderr.take().unwrap());
        if interrupt {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            assert!(line.contains("of 60 s"), "{line}");
            let pid = run.id().to_string();
            let killed = Command::new("kill").args(["-INT", &pid]).status();
            assert!(killed.unwrap().success());
        }
        let code = run.wait().unwrap().code();
        let figures = std::fs::read(&file).unwrap();
        (code, serde_json::from_slice(&figures).unwrap())
    }

    #[test]
    fn the_exit_code_says_whether_every_frame_came() {
        for (flags, code) in [(&[][..], 0), (&["--drop-every", "100"], 1)] {
            let floor = Floor::start(flags);
            let (ended, figures) = run(&floor, "broadcast -c 50 --rate 100 -d 600ms", false);
            assert_eq!(ended, Some(code), "{figures}");
            let deliveries = figures["figures"]["deliveries"].as_u64().unwrap();
            assert_eq!(figures["generators"][0]["deliveries"], deliveries);
            assert!(deliveries > 0 && !figures["samples"].as_array().unwrap().is_empty());
        }
    }

    #[test]
    fn an_interrupted_run_ends_early_with_its_report() {
        let floor = Floor::start(&[]);
        let (ended, figures) = run(&floor, "echo -c 20 --rate 100 -d 60s", true);
        assert_eq!(ended, Some(0));
        assert!(figures["figures"]["seconds"].as_f64().unwrap() < 30.0);
        let how_far = figures["interrupted"].as_str().expect("how far it came");
        assert!(how_far.contains("not judged"), "{how_far}");
    }
}
