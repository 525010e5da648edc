//! Runs of several generator processes against the harness's own floor, as a user starts them.

#[cfg(test)]
mod processes {
    use serde_json::Value;
    use std::io::{BufRead, BufReader, Read};
    use std::net::{TcpListener, TcpStream};
    use std::path::PathBuf;
    use std::process::{Child, Command, Output, Stdio};
    use std::time::SystemTime;

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

    fn figures_file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("loadtest-{}-{name}.json", std::process::id()))
    }

    /// What a run left: its end and its figures, if it came so far.
    fn run(mut command: Command, name: &str, floor: &Floor, flags: &str) -> (Output, Value) {
        let file = figures_file(name);
        let output = command
            .args(flags.split_whitespace())
            .args(["--url", &floor.url, "--warmup", "100ms", "--json"])
            .arg(&file)
            .output()
            .unwrap();
        let text = std::fs::read_to_string(&file);
        std::fs::remove_file(&file).ok();
        let figures = text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        (output, figures)
    }

    fn loadtest(name: &str, floor: &Floor, flags: &str) -> (Output, Value) {
        run(Command::new(LOADTEST), name, floor, flags)
    }

    fn number(figures: &Value, path: &str) -> u64 {
        let value = figures.pointer(path).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("{path} in {figures}"))
    }

    /// The sum of a figure over the generators.
    fn of_generators(figures: &Value, key: &str) -> u64 {
        let generators = figures["generators"].as_array().unwrap();
        generators
            .iter()
            .map(|one| number(one, &format!("/{key}")))
            .sum()
    }

    #[track_caller]
    fn good(output: &Output, figures: &Value, processes: usize) {
        let text = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{said}");
        let generators = figures["generators"].as_array().unwrap();
        assert_eq!(generators.len(), processes, "{text}");
        if processes > 1 {
            assert!(text.contains(&format!("{processes} processes")), "{text}");
        }
        for total in ["deliveries", "published", "connections"] {
            let sum = number(figures, &format!("/figures/{total}"));
            assert_eq!(of_generators(figures, total), sum, "{total}\n{text}");
            assert!(sum > 0, "{total}\n{text}");
        }
        assert!(!figures["samples"].as_array().unwrap().is_empty());
    }

    #[test]
    fn two_processes_are_one_run_whose_totals_add_up() {
        let floor = Floor::start(&[]);
        for (name, flags) in [
            ("echo", "echo -c 41"),
            ("fanout", "fanout --rooms 5 --members 10"),
            ("rate", "fanout --rooms 4 --members 5 --rate 400"),
            ("storm", "connect --lanes 7"),
            ("slow", "slow --members 20 --stopped 4 --publishers 3"),
        ] {
            let flags = format!("{flags} --processes 2 -d 600ms");
            let (output, figures) = loadtest(name, &floor, &flags);
            if name == "storm" {
                assert!(output.status.success(), "{output:?}");
                assert!(number(&figures, "/figures/lives") > 0);
                continue;
            }
            good(&output, &figures, 2);
            if name == "rate" {
                // 400 a second in all, over the warm-up and the window; twice as many if each took the whole rate.
                let published = number(&figures, "/totals/published");
                assert!((250..=450).contains(&published), "{published}");
                assert!(figures["open_loop"].as_bool().unwrap());
            }
        }
    }

    #[test]
    fn people_of_all_processes_come_back() {
        let floor = Floor::start(&[]);
        let flags = "flap --rooms 4 --members 10 --cuts 100 --processes 2 -d 600ms";
        let (output, figures) = loadtest("flap", &floor, flags);
        good(&output, &figures, 2);
        assert!(number(&figures, "/returns/left") > 20, "{figures}");
        assert_eq!(number(&figures, "/returns/still_away"), 0);
    }

    #[test]
    fn every_lost_or_repeated_frame_is_found_in_whole_and_in_shared_rooms() {
        for (flag, count) in [
            ("--drop-every", "lost"),
            ("--duplicate-every", "duplicated"),
        ] {
            let floor = Floor::start(&[flag, "1000"]);
            // The floor counts its frames from its start.
            let mut frames = 0;
            for (name, flags) in [
                ("whole", "fanout --rooms 10 --members 20"),
                // The publisher is in the first process, most receivers are not.
                ("shared", "broadcast -c 200"),
            ] {
                let flags = format!("{flags} --processes 3 --rate 100 -d 600ms");
                let (output, figures) = loadtest(name, &floor, &flags);
                assert_eq!(output.status.code(), Some(1), "{name}: {figures}");
                assert_eq!(figures["generators"].as_array().unwrap().len(), 3);
                let members = if name == "shared" { 200 } else { 20 };
                let before = frames / 1000;
                frames += number(&figures, "/totals/published") * members;
                let found = number(&figures, &format!("/verification/{count}"));
                assert_eq!(found, frames / 1000 - before, "{name}: {figures}");
                assert!(found > 0);
            }
        }
    }

    #[test]
    fn a_low_limit_of_descriptors_takes_more_processes_by_itself() {
        let floor = Floor::start(&[]);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 200 && exec \"$0\" \"$@\"", LOADTEST]);
        let flags = "echo -c 300 --rate 600 -d 600ms";
        let (output, figures) = run(command, "limit", &floor, flags);
        good(&output, &figures, 3);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 200 && exec \"$0\" \"$@\"", LOADTEST]);
        let (output, _) = run(command, "refused", &floor, "echo -c 9000");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("ulimit -n") && said.contains("16 processes"),
            "{said}"
        );
    }

    /// The children of a process.
    fn children(pid: u32) -> Vec<u32> {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect()
    }

    fn gone(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.contains(") Z "))
    }

    fn signal(pid: u32, name: &str) {
        let mut kill = Command::new("kill");
        assert!(
            kill.args([name, &pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    /// A long run that is being measured (it says so), and its generators.
    fn long_run(floor: &Floor, name: &str) -> (Child, BufReader<impl Read>, Vec<u32>) {
        let mut run = Command::new(LOADTEST)
            .args("echo -c 20 --rate 100 -d 60s --processes 2".split_whitespace())
            .args(["--warmup", "0s", "--url", &floor.url, "--json"])
            .arg(figures_file(name))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(run.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("of 60 s"), "{line}");
        let generators = children(run.id());
        assert_eq!(generators.len(), 2);
        (run, said, generators)
    }

    #[test]
    fn an_interrupted_run_ends_early_with_its_report() {
        let floor = Floor::start(&[]);
        let (mut run, _said, generators) = long_run(&floor, "interrupted");
        signal(run.id(), "-INT");
        assert!(run.wait().unwrap().success());
        let text = std::fs::read_to_string(figures_file("interrupted")).unwrap();
        std::fs::remove_file(figures_file("interrupted")).unwrap();
        let figures: Value = serde_json::from_str(&text).unwrap();
        assert!(figures["figures"]["seconds"].as_f64().unwrap() < 30.0);
        let how_far = figures["interrupted"].as_str().expect("how far it came");
        assert!(how_far.contains("not judged"), "{how_far}");
        assert!(generators.into_iter().all(gone));
    }

    #[test]
    fn a_generator_that_dies_ends_the_run_and_the_others() {
        let floor = Floor::start(&[]);
        let (mut run, mut said, generators) = long_run(&floor, "died");
        signal(generators[1], "-KILL");
        assert!(!run.wait().unwrap().success());
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        assert!(
            text.contains("generator process 2: it ended too early"),
            "{text}"
        );
        assert!(generators.into_iter().all(gone));
    }

    #[test]
    fn no_generator_outlives_the_process_that_started_it() {
        let floor = Floor::start(&[]);
        let (mut run, mut said, generators) = long_run(&floor, "killed");
        signal(run.id(), "-KILL");
        run.wait().unwrap();
        // Their standard error is this pipe: it ends with the last of them.
        said.read_to_string(&mut String::new()).unwrap();
        // The pipe ends a moment before the process does.
        let ended = SystemTime::now();
        while !generators.iter().copied().all(gone) {
            let waited = ended.elapsed().unwrap_or_default();
            assert!(waited.as_secs() < 10, "a generator outlived the run");
            std::thread::yield_now();
        }
    }
}
