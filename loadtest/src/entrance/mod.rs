//! `entrance`: handshakes that bring credentials, a site behind the same port beside nginx before that site, clients that never finish
//! their request, one business that floods. What each costs, and what others notice of it: in most cases a second generator stands
//! beside the one that is measured.

mod tokens;

use crate::again::Again;
use crate::campaign::{
    Bench, Case, Cases, Compared, OURS, Work, check_names, figures, with_baselines,
};
use crate::cli::{Entrance, Options};
use crate::clock::{SECOND, pause};
use crate::ours::{our_flags, our_server, quoted};
use crate::report::Stated;
use crate::server::{PATH, Ready, Server, Spec, shell};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::TempDir;

/// The site itself, without anybody before it.
const SITE: &str = "site";
/// Time a measurement may take beyond its warm-up and duration.
const OVERHEAD: Duration = Duration::from_secs(90);
/// The second generator is at work after this: its connections, its warm-up, its slow sockets' first turn.
const LEAD: Duration = Duration::from_millis(3500);
/// The second generator has ended, with its figures, after this.
const BESIDE_END_MAX: u64 = 30 * SECOND;
/// Longer than any measurement: the second generator is told when to end.
const BESIDE_SECONDS: u64 = 600;

struct EntranceBench<'a> {
    args: &'a Entrance,
    options: &'a Options,
    program: PathBuf,
    /// Keys and tokens.
    keys: TempDir,
}

/// The second generator.
struct Beside {
    generator: Server,
    folder: TempDir,
}

/// Runs it; the folder with the results, and the table.
/// Errors: Wrong flags, no server, no tokens, or the folder cannot be written.
pub(crate) fn run(
    args: &Entrance,
    options: &Options,
    stop: &AtomicBool,
) -> Result<(PathBuf, String), String> {
    let (known, flags) = (Cases::of_entrance(), &args.campaign);
    check_names(&known, &flags.only)?;
    if !flags.all && flags.only.is_empty() {
        let names: Vec<&str> = known.iter().map(|case| case.name.as_str()).collect();
        return Err(format!(
            "say --all, or --only with some of {}",
            names.join(", ")
        ));
    }
    let cases = with_baselines(known, |case| {
        flags.only.is_empty() || flags.only.contains(&case.name)
    });
    let keys = tempfile::tempdir().map_err(|error| error.to_string())?;
    tokens::make(keys.path(), |name| {
        let file = format!("{{keys}}/{name}");
        let is_named = |flags: &str| flags.split_whitespace().any(|word| word == file);
        cases
            .iter()
            .any(|case| is_named(&case.flags) || is_named(&case.beside))
    })?;
    let program = our_server(flags.supportal.as_deref())?;
    let bench = EntranceBench {
        args,
        options,
        program,
        keys,
    };
    let peers = [OURS, "nginx", SITE].into_iter();
    let peers = peers.filter(|peer| cases.iter().any(|case| bench.meets(case, peer)));
    let peers = peers.map(|peer| bench.compared(peer)).collect();
    Work {
        flags,
        options,
        name: "entrance",
        cases,
        peers,
        bench: &bench,
        stop,
    }
    .run()
}

impl EntranceBench<'_> {
    fn compared(&self, name: &str) -> Compared {
        let line = match name {
            OURS => format!("{} --version", quoted(&self.program)),
            _ => "nginx -v 2>&1".to_owned(),
        };
        let said = shell(&line, None).output().map(|output| output.stdout);
        let version = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
        Compared {
            name: name.to_owned(),
            version: version.trim().to_owned(),
            speaks: if name == OURS {
                "the chat contract"
            } else {
                "HTTP"
            }
            .to_owned(),
            ..Compared::default()
        }
    }

    /// Our program's flags in this case.
    fn ours(&self, case: &Case) -> String {
        let line = format!("{} {} {}", quoted(&self.program), our_flags(), case.set);
        self.filled(&line).replace("{secret}", tokens::SECRET)
    }

    fn filled(&self, flags: &str) -> String {
        let keys = flags.replace("{keys}", &self.keys.path().display().to_string());
        keys.replace("{peers}", &self.args.peers.display().to_string())
    }

    fn nginx(&self, what: &str, core: Option<usize>) -> Spec {
        Spec {
            command: format!("nginx/start {what}"),
            directory: Some(self.args.peers.clone()),
            ready: Ready::Tcp,
            core,
            ..Spec::default()
        }
    }

    /// The second generator, at work.
    fn beside(
        &self,
        case: &Case,
        url: &str,
        core: Option<usize>,
    ) -> Result<Option<Beside>, String> {
        if case.beside.is_empty() {
            return Ok(None);
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let me = std::env::current_exe().map_err(|error| error.to_string())?;
        let command = format!(
            "nice -n 19 {} {} --url {url} -d {BESIDE_SECONDS}s --json '{}'",
            quoted(&me),
            self.filled(&case.beside),
            folder.path().join("figures.json").display()
        );
        // A core of its own, where there is one; else what the generator that is measured leaves of its core.
        let many = std::thread::available_parallelism().map_or(1, usize::from);
        let core = core.map(|core| if core + 1 < many { core + 1 } else { core });
        let spec = Spec {
            command,
            core,
            ..Spec::default()
        };
        let generator = Server::spawn(&spec, 0, 0)?;
        pause(LEAD);
        Ok(Some(Beside { generator, folder }))
    }

    /// What the second generator and the server's own estimate of its memory add to a report.
    fn complete(
        &self,
        case: &Case,
        report: &mut Value,
        beside: Option<Beside>,
    ) -> Result<(), String> {
        // Where a site stands beside the generator that is measured, it shares its core, too.
        let mut seen = json!({});
        if let Some(mut beside) = beside {
            beside.generator.stop(BESIDE_END_MAX);
            let text = std::fs::read_to_string(beside.folder.path().join("figures.json"));
            let text = text.map_err(|error| format!("the generator beside: {error}"))?;
            seen = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        } else if case.before_site.is_empty() {
            return Ok(());
        }
        report["beside"] = json!({"figures": seen.get("figures")});
        if !case.beside.starts_with("slowloris") {
            return Ok(());
        }
        let line = self.ours(case).replacen("--listen", "check --listen", 1);
        let line = line.replace("{port}", "1").replace("{admin}", "2");
        let output = shell(&line, None)
            .output()
            .map_err(|error| error.to_string())?;
        let check_mb = in_all_mb(&String::from_utf8_lossy(&output.stdout));
        let peak_mb = figures(report).get("rss_peak_mb").copied();
        report["check_mb"] = json!(check_mb);
        let share = peak_mb.zip(check_mb).map(|(peak, most)| peak / most);
        report["goals"] = json!([Stated {
            what: "resident memory, as a share of what `supportal check` says".to_owned(),
            value: share,
            at_most: 1.0,
            is_ratio: false,
        }]);
        Ok(())
    }
}

/// The sum at the end of what `supportal check` says about memory, in MB.
fn in_all_mb(said: &str) -> Option<f64> {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_suffix("in all"))?;
    let (number, unit) = line.trim().split_once(' ')?;
    let bytes = match unit {
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * bytes / 1e6)
}

impl Bench for EntranceBench<'_> {
    fn meets(&self, case: &Case, peer: &str) -> bool {
        match case.before_site.is_empty() {
            true => peer == OURS,
            false => case.before_site.iter().any(|name| name == peer),
        }
    }

    fn measure(&self, case: &Case, peer: &str, round: usize, _: &Path) -> Result<Value, String> {
        let (servers, generator) = self.args.campaign.cores();
        let has_site = !case.before_site.is_empty();
        let site = has_site.then(|| Server::start(&self.nginx("site {port}", generator)));
        let site = site.transpose()?;
        let port = site.as_ref().map_or(0, |site| site.port);
        let server = match peer {
            SITE => None,
            OURS => Some(Spec {
                command: self.ours(case).replace("{site}", &port.to_string()),
                path: PATH.to_owned(),
                ready: Ready::Tcp,
                core: servers,
                ..Spec::default()
            }),
            _ => Some(self.nginx(&format!("proxy {{port}} {port}"), servers)),
        };
        let server = server.map(|spec| Server::start(&spec)).transpose()?;
        let measured = server.as_ref().or(site.as_ref()).ok_or("no server")?;
        let scheme = if case.tls { "wss" } else { "ws" };
        let url = format!("{scheme}://127.0.0.1:{}", measured.port);
        let beside = self.beside(case, &url, generator)?;
        let warmup = self.options.warmup;
        let flags = format!(
            "{} --url {url} --pid {} -d {}s --warmup {}s --seed {}",
            self.filled(&case.flags),
            measured.pid(),
            case.seconds,
            warmup.as_secs_f64(),
            self.options.seed + round as u64
        );
        let again = Again {
            flags: flags.split_whitespace().map(str::to_owned).collect(),
            core: generator,
            longest: Duration::from_secs_f64(case.seconds) + warmup + OVERHEAD,
            loud: false,
        };
        let mut report = again.run()?;
        // The site alone shares the generator's core by intention.
        if server.is_none()
            && let Some(waited) = report.pointer_mut("/figures/server_waited")
        {
            *waited = Value::Null;
        }
        self.complete(case, &mut report, beside)?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_check_says_about_memory_is_read() {
        let said = "memory at worst\n    24 MiB  process (1 x 24 MiB)\n      13.5 GiB  in all\n";
        assert_eq!(in_all_mb(said), Some(13.5 * 1.073_741_824e3));
        assert_eq!(in_all_mb("a mistake"), None);
    }
}
