//! The chapter of docs/django.md that walks a site over, word for word: its commands, in its order, in one shell, in a site
//! made by the words of the package's own README; and the way back.

use super::model::Model;
use super::*;
use crate::manual::section;
use crate::support::redis::free_port;
use crate::support::{http, wait};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ChildStdin;

/// The last line of a block's output.
const DONE: &str = "the block is done";

/// A block of a text: its language and its lines.
type Block = (String, String);

/// The blocks of a text.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            is_open = !is_open;
            if is_open {
                blocks.push((language.to_owned(), String::new()));
            }
        } else if is_open {
            let (_, block) = blocks.last_mut().expect("an open block");
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// Makes a project by the README of the package that is installed.
#[track_caller]
fn make_site(folder: &Path) {
    let python = tools_dir().join("package/bin/python");
    let made = Command::new(&python)
        .args(["-m", "django", "startproject", "your_project", "."])
        .current_dir(folder)
        .status();
    assert!(made.expect("tests/run install").success());
    let print = "from importlib.metadata import distribution as d; print(d('django_supportal').read_text('METADATA'))";
    let printed = Command::new(&python).args(["-c", print]).output();
    let readme = String::from_utf8(printed.expect("Python starts").stdout).expect("UTF-8");
    let of = |heading: &str| {
        let (_, rest) = readme.split_once(heading).expect(heading);
        let (language, block) = blocks(rest).swap_remove(0);
        assert_eq!(language, "python", "{heading}");
        block
    };
    let file = |name: &str| folder.join("your_project").join(name);
    let mut settings = std::fs::read_to_string(file("settings.py")).expect("settings");
    settings += &of("#### 2. Add to your Django project")
        .replace("INSTALLED_APPS = [", "INSTALLED_APPS += [");
    settings += &of("#### 4. Configure settings");
    settings += &of("#### 6. Update your `settings.py`");
    std::fs::write(file("settings.py"), settings).expect("settings");
    std::fs::write(file("urls.py"), of("#### 3. Include URLs")).expect("urls");
    // The one line that the manual says belongs elsewhere.
    let routes = "from django_supportal.websocket.ws_routes import websocket_urlpatterns\n";
    let application = "django_asgi_app = get_asgi_application()\n";
    let asgi = of("#### 5. Configure WebSocket Routes");
    assert!(asgi.find(routes) < asgi.find(application), "{asgi}");
    let asgi = asgi.replace(routes, "");
    let asgi = asgi.replace(application, &format!("{application}{routes}"));
    std::fs::write(file("asgi.py"), asgi).expect("asgi");
}

/// A shell in the site's folder, and all that it has started.
struct Shell {
    child: Child,
    orders: ChildStdin,
    output: Receiver<String>,
    folder: TempDir,
    /// The ports of the manual, and those of this test.
    ports: [(&'static str, u16); 6],
}

impl Shell {
    fn start(redis: &Redis, model: &Model) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        make_site(folder.path());
        let ports = ["8000", "8001", "8002", "9000"].map(|port| (port, free_port()));
        let [chat, site, last, admin] = ports;
        let others = [("6379", redis.address().port()), ("11434", model.port())];
        let ports = [chat, site, last, admin, others[0], others[1]];
        let server = Path::new(env!("CARGO_BIN_EXE_supportal"));
        let server = server.parent().expect("its folder").display().to_string();
        let python = tools_dir().join("package/bin").display().to_string();
        let mut child = Command::new("/bin/bash")
            .args(["-e", "-o", "pipefail"])
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", format!("{python}:{server}:/usr/bin:/bin"))
            .env("HOME", folder.path())
            .env("SUPPORTAL", repository())
            .env("OPENAI_API_KEY", "none")
            .env("OPENAI_BASE_URL", model.url())
            .env("SUPPORTAL_SERVER__LISTEN", format!("127.0.0.1:{}", chat.1))
            .env("SUPPORTAL_SERVER__DRAIN_NOTICE", "0s")
            .env("SUPPORTAL_ADMIN__LISTEN", format!("127.0.0.1:{}", admin.1))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("bash starts");
        let mut orders = child.stdin.take().expect("stdin is piped");
        writeln!(orders, "exec 2>&1").expect("bash reads");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            orders,
            output,
            folder,
            ports,
        }
    }

    fn address(&self, port: &str) -> SocketAddr {
        let of_this_test = self.ports.iter().find(|(named, _)| *named == port);
        SocketAddr::from(([127, 0, 0, 1], of_this_test.expect("a port").1))
    }

    /// A text of the manual with the ports of this test.
    fn placed(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (port, _) in self.ports {
            text = text.replace(port, &format!("<{port}>"));
        }
        for (port, of_this_test) in self.ports {
            text = text.replace(&format!("<{port}>"), &of_this_test.to_string());
        }
        text
    }

    /// Runs a block of commands to its end; what it and what runs beside it have written.
    #[track_caller]
    fn run(&mut self, block: &str) -> String {
        let block = self.placed(block);
        writeln!(self.orders, "{block}\necho; echo '{DONE}'").expect("the shell reads");
        let mut written = String::new();
        loop {
            let line = self.output.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|end| panic!("{end}: {block}\n{written}"));
            if line == DONE {
                return written;
            }
            written += &format!("{line}\n");
        }
    }

    /// Carries out blocks: commands are run, and settings written into the files that their first lines name.
    /// Each block's output goes to `then`.
    #[track_caller]
    fn walk(&mut self, blocks: &[Block], mut then: impl FnMut(&mut Self, &str, &str)) {
        for (language, block) in blocks {
            let written = if language == "sh" {
                self.run(block)
            } else {
                let title = block.lines().next().unwrap_or_default();
                let file = self.folder.path().join(title.trim_start_matches("# "));
                let before = std::fs::read_to_string(&file).unwrap_or_default();
                let after = format!("{before}\n{}", self.placed(block));
                std::fs::write(&file, after).expect(title);
                String::new()
            };
            then(self, block, &written);
        }
    }

    /// As [`Shell::walk`], by the chapter that leads in, with a chat where it says so. The chat's session.
    #[track_caller]
    fn walk_in(&mut self, blocks: &[Block]) -> String {
        let mut session = String::new();
        self.run(BUSINESS);
        self.walk(blocks, |shell, block, written| {
            if block.contains("manage.py check") {
                assert!(written.contains("no issues"), "{written}");
            } else if block.contains("create-session") {
                let address = written.lines().find(|line| line.contains("/chats/1/"));
                let address = address.unwrap_or_else(|| panic!("no address: {written}"));
                let (_, name) = address
                    .trim_end_matches('/')
                    .rsplit_once('/')
                    .expect("a path");
                name.clone_into(&mut session);
                let page = http::get(
                    shell.address("8000"),
                    &format!("/supportal/chats/1/{name}/"),
                );
                assert_eq!(page.status, 200, "the package's own page, through the node");
                assert!(page.text().contains("ws://"), "{}", page.text());
                shell.chat(name, "hello");
                wait::until("the rows", PATIENCE, || shell.rows().len() == 2);
            } else if block.contains("objects.order_by") {
                for row in [" - USER: hello", " - ASSISTANT: Canned answer."] {
                    assert!(written.contains(row), "{written}");
                }
            }
        });
        assert_eq!(self.rows(), ["USER hello", "ASSISTANT Canned answer."]);
        session
    }

    /// The contents of all rows, oldest first.
    #[track_caller]
    fn rows(&mut self) -> Vec<String> {
        let script = "from django_supportal.models import ChatMessage as M; \
             [print('row', row.message_type, row.content) for row in M.objects.order_by('created_at')]";
        let written = self.run(&format!("python manage.py shell -c \"{script}\""));
        let rows = written.lines().filter_map(|line| line.strip_prefix("row "));
        rows.map(str::to_owned).collect()
    }

    /// Says something in a session at the port of the manual, and reads question and answer.
    #[track_caller]
    fn chat(&self, session: &str, text: &str) {
        let path = format!("/ws/chat/1/{session}/");
        let stream = http::open(self.address("8000"));
        let mut client = Client::open_over(stream, &path, &[]).expect("101");
        client.skip_welcome();
        say(&mut client, text);
        let answer = client.receive_within(PATIENCE);
        let Some(crate::support::Frame::Text(answer)) = answer else {
            panic!("no answer: {answer:?}");
        };
        assert!(answer.contains("Canned answer."), "{answer}");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            kill_process_group(group, Signal::KILL).ok();
        }
        drop(self.child.wait());
    }
}

/// A business, which every site has; made where the chapter begins.
const BUSINESS: &str = "python manage.py migrate --verbosity 0\n\
    python manage.py shell -c \"from django.contrib.auth.models import User; from django_supportal.models import Business; \
    Business.objects.create(name='One', owner=User.objects.create(username='owner'))\"\n";

/// The blocks of a chapter of the manual.
#[track_caller]
fn chapter(name: &str) -> Vec<Block> {
    let (page, text) = section(name);
    assert_eq!(page, "docs/django.md");
    let blocks = blocks(&text);
    assert!(!blocks.is_empty(), "{name}: {text}");
    blocks
}

#[test]
fn the_chapter_walks_a_site_over_in_its_own_words_and_back() {
    let redis = Redis::start(&[]);
    let model = Model::new();
    let mut shell = Shell::start(&redis, &model);
    let session = shell.walk_in(&chapter("walk"));
    // Said in the last moment: the archive's command, stopped, does not read it any more.
    shell.run("kill -STOP $archive");
    shell.chat(&session, "one more");
    shell.walk(&chapter("walk back"), |shell, block, _| {
        if block.contains("kill $node $site") {
            wait::until("the site's own server is back", PATIENCE, || {
                std::net::TcpStream::connect(shell.address("8000")).is_ok()
            });
        } else if block.contains("--url") {
            shell.chat(&session, "and back");
        }
    });
    let expected = [
        "USER hello",
        "ASSISTANT Canned answer.",
        "USER one more",
        "ASSISTANT Canned answer.",
        "USER and back",
        "ASSISTANT Canned answer.",
    ];
    assert_eq!(shell.rows(), expected);
    let asked = asked_of(&model);
    assert!(
        asked.contains(&json!("one more")),
        "the package knows it: {asked:?}"
    );
}

#[test]
fn the_chapter_leads_to_a_model_without_redis() {
    let model = Model::new();
    let redis = Redis::absent(&[]);
    let mut shell = Shell::start(&redis, &model);
    let (_, with_model) = chapter("walk model").swap_remove(0);
    let mut blocks = chapter("walk");
    for (_, block) in &mut blocks {
        if block.starts_with("# gateway.toml") {
            let (before, _) = block.split_once("[assistant]").expect("who answers");
            *block = format!("{before}{with_model}");
        } else if block.contains("supportal_worker") {
            let lines = block
                .lines()
                .filter(|line| !line.contains("supportal_worker"));
            *block = lines.collect::<Vec<_>>().join("\n");
        } else if let Some((before, _)) = block.split_once("CHANNEL_LAYERS") {
            *block = before.to_owned();
        }
    }
    shell.walk_in(&blocks);
    let asked = asked_of(&model);
    assert_eq!(asked.last(), Some(&json!("hello")));
}

/// The words of the last conversation that the model was asked about.
fn asked_of(model: &Model) -> Vec<Value> {
    let asked = model.asked();
    let last = asked
        .iter()
        .rfind(|asked| asked["path"] == "/v1/chat/completions");
    let messages = last.expect("a question")["asked"]["messages"]
        .as_array()
        .expect("messages");
    messages
        .iter()
        .map(|message| message["content"].clone())
        .collect()
}
