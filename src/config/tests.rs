//! Settings from every source, right and wrong, and `config/warren.toml`.

use super::memory::available_under;
use super::sources::Given;
use super::*;
use std::fs;
use std::path::Path;

const FILE: &str = "config/warren.toml";

fn from_text(text: &str) -> Result<Config, String> {
    let mut given = Given::default();
    file::read_text(Path::new(FILE), text, &mut given).map_err(|error| error.to_string())?;
    Config::read(&given).map_err(|error| error.to_string())
}

fn wrong(text: &str) -> String {
    from_text(text).expect_err(text)
}

fn from_variable(name: &str, value: &str) -> Result<Config, String> {
    let environment = vec![(name.to_owned(), value.to_owned())];
    Config::load(&Sources { environment, ..Sources::default() }).map_err(|error| error.to_string())
}

/// What `config/warren.toml` has to be.
fn reference() -> String {
    let mut out = String::from(
        "# Warren's settings, each with its default. Nothing here needs to be set.\n\
         #\n\
         # Precedence: command line, then WARREN_ variables, then this file, then RABBITMQ_ variables, then rabbitmq.conf, then\n\
         # defaults. The variable of a setting is WARREN_, its section and its key: durability.sync is WARREN_DURABILITY_SYNC.\n\
         # Lists are comma-separated there.\n\
         #\n\
         # Sizes: bytes, or text with B, KiB, MiB, GiB, TiB (1024) or kB, MB, GB, TB (1000). Durations: text with ms, s, m, h.\n",
    );
    let mut section = "";
    for setting in Config::SETTINGS {
        if setting.section() != section {
            section = setting.section();
            let meaning = Config::SECTIONS.iter().find(|(name, _)| *name == section).unwrap().1;
            out.push_str(&format!("\n{}[{section}]\n", comment(meaning)));
        }
        let expected = format!(" Expected: {}.", (setting.expected)());
        out.push_str(&format!("\n{}{}", comment(setting.doc), comment(&[&expected])));
        out.push_str(&format!("{} = {}\n", setting.name(), setting.default));
    }
    out
}

fn comment(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("#{line}\n")).collect()
}

#[test]
fn the_example_file_holds_every_key_with_its_default() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)).unwrap();
    let wanted = reference();
    assert!(text == wanted, "config/warren.toml differs from the declaration; it has to be:\n{wanted}");
    assert_eq!(from_text(&text).unwrap(), from_text("").unwrap());
}

#[test]
fn defaults() {
    let config = from_text("").unwrap();
    assert_eq!(config.data_dir, PathBuf::from("./data"));
    assert_eq!(config.listener.address, vec!["127.0.0.1:5672".parse().unwrap()]);
    assert_eq!(config.listener.handshake_timeout, Duration::from_secs(10));
    assert!(config.listener.nodelay);
    assert_eq!(config.management.address, vec!["127.0.0.1:15672".parse().unwrap()]);
    assert_eq!(from_text("management.address = []").unwrap().management.address, Vec::new());
    assert_eq!(from_variable("WARREN_PROMETHEUS_ADDRESS", "").unwrap().prometheus.address, Vec::new());
    assert!(from_text("management.address = [\"here\"]").is_err());
    assert_eq!((config.limits.frame_max, config.limits.channel_max, config.limits.heartbeat), (131_072, 2047, 60));
    assert_eq!((config.limits.max_message_size, config.limits.unconfirmed_bytes_max), (16 << 20, 32 << 20));
    assert_eq!(config.memory.high_watermark, Watermark::Share(0.6));
    assert_eq!(config.disk.free_limit, 1 << 30);
    assert_eq!(config.durability.sync, SyncMode::Always);
    assert_eq!(config.durability.interval, Duration::from_millis(200));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Text));
    assert_eq!((config.auth.default_user.as_str(), config.auth.default_password.reveal()), ("guest", "guest"));
    assert_eq!(config.auth.loopback_users, vec![Name::new("guest").unwrap()]);
    assert_eq!((config.server.shutdown_timeout, config.server.worker_threads), (Duration::from_secs(10), 0));
}

#[test]
fn forms_of_values() {
    let config = from_text(
        "listener.address = [\"0.0.0.0:1\", \"[::]:2\"]\nlistener.handshake_timeout = 3\nlimits.frame_max = \"64 KiB\"\n\
         limits.heartbeat = 0\nlimits.max_message_size = \"512mib\"\nmemory.high_watermark = \"2GiB\"\n\
         disk.free_limit = 5_000_000\ndurability = { interval = 7, sync = \"never\" }\nauth.loopback_users = []\n\
         limits.unconfirmed_bytes_max = 0x100000\nserver.shutdown_timeout = \"2m\"",
    )
    .unwrap();
    assert_eq!(config.listener.address, vec!["0.0.0.0:1".parse().unwrap(), "[::]:2".parse().unwrap()]);
    assert_eq!(config.listener.handshake_timeout, Duration::from_secs(3));
    assert_eq!((config.limits.frame_max, config.limits.heartbeat), (65536, 0));
    assert_eq!((config.limits.max_message_size, config.limits.unconfirmed_bytes_max), (512 << 20, 1 << 20));
    assert_eq!(config.memory.high_watermark, Watermark::Bytes(2 << 30));
    assert_eq!(config.disk.free_limit, 5_000_000);
    assert_eq!((config.durability.sync, config.durability.interval), (SyncMode::Never, Duration::from_millis(7)));
    assert_eq!(config.auth.loopback_users, vec![]);
    assert_eq!(config.server.shutdown_timeout, Duration::from_secs(120));
}

#[test]
fn watermark_forms() {
    for (text, wanted) in [
        ("0.4", Some(Watermark::Share(0.4))),
        ("1.0", Some(Watermark::Share(1.0))),
        ("\"0.5\"", Some(Watermark::Share(0.5))),
        ("\"16MiB\"", Some(Watermark::Bytes(16 << 20))),
        ("1073741824", Some(Watermark::Bytes(1 << 30))),
        ("0.0", None),
        ("1.1", None),
        ("nan", None),
        ("-0.5", None),
        ("1", None),
        ("\"half\"", None),
        ("true", None),
    ] {
        let got = from_text(&format!("memory.high_watermark = {text}")).ok().map(|config| config.memory.high_watermark);
        assert_eq!(got, wanted, "{text}");
    }
    assert_eq!(Watermark::Share(0.5).bytes(1000), 500);
    assert_eq!(Watermark::Bytes(7).bytes(1000), 7);
}

#[test]
fn wrong_values_say_file_line_key_expected_and_found() {
    assert_eq!(
        wrong("# one\n[log]\nlevel = \"info\"\n\n[durability]\nsync = \"sometimes\"\n"),
        "config/warren.toml:6: durability.sync: expected \"always\", \"interval\" or \"never\", found \"sometimes\""
    );
    assert_eq!(
        wrong("limits.channel_max = 65536"),
        "config/warren.toml:1: limits.channel_max: expected a whole number from 0 to 65535, found 65536"
    );
    assert_eq!(
        wrong("[limits]\nframe_max = 4095"),
        "config/warren.toml:2: limits.frame_max: expected a size such as \"64KiB\", from 4KiB to 512MiB, or 0, found 4095"
    );
    assert_eq!(
        wrong("durability.interval = \"1 week\""),
        "config/warren.toml:1: durability.interval: expected a duration such as \"500ms\", from 1ms to 1h \
         (a bare number is milliseconds), found \"1 week\""
    );
    assert_eq!(
        wrong("listener.nodelay = 1"),
        "config/warren.toml:1: listener.nodelay: expected true or false, found 1"
    );
    assert_eq!(wrong("log = 3"), "config/warren.toml:1: log: expected a section, [log], found 3");
    assert_eq!(wrong("data_dir = {}"), "config/warren.toml:1: data_dir: expected a path, found a table");
}

#[test]
fn refused_values() {
    for text in [
        "limits.max_message_size = \"513MiB\"",
        "limits.max_message_size = 0",
        "limits.heartbeat = \"1500ms\"",
        "limits.heartbeat = 65536",
        "limits.frame_max = \"18446744073709551616\"",
        "limits.unconfirmed_bytes_max = \"99999999TiB\"",
        "listener.backlog = \"10\"",
        "listener.backlog = -1",
        "listener.connection_max = 99999999999999999999",
        "listener.address = \"5672\"",
        "listener.address = [[\"127.0.0.1:1\"]]",
        "durability.interval = \"99999999999999999h\"",
        "durability.interval = 1979-05-27",
        "auth.default_user = \"\"",
        "data_dir = \"\"",
        "log.level = \"INFO\"",
    ] {
        assert!(wrong(text).contains(" expected "), "{text}: {}", wrong(text));
    }
}

#[test]
fn the_first_fault_in_the_file_is_told() {
    assert!(wrong("[server]\nworker_threads = -1\n[auth]\ndefault_user = 1\n").starts_with("config/warren.toml:2: "));
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    for (text, told) in [
        ("[limits]\nframe_mx = 1", "2: limits.frame_mx: unknown key; did you mean limits.frame_max?"),
        ("[durabilty]\nsync = \"always\"", "1: durabilty: unknown key; did you mean [durability]?"),
        ("sync = \"always\"", "1: sync: unknown key; did you mean durability.sync?"),
        ("[log]\nsync = \"always\"", "2: log.sync: unknown key; did you mean durability.sync?"),
        ("datadir = \"d\"", "1: datadir: unknown key; did you mean data_dir?"),
        ("[clustering]\nnodes = 3", "1: clustering: unknown key"),
    ] {
        assert_eq!(wrong(text), format!("config/warren.toml:{told}"));
    }
}

#[test]
fn syntax_errors_have_a_line() {
    let told = wrong("[log]\nlevel = \"info\"\nformat = \n");
    assert!(told.starts_with("config/warren.toml:3: "), "{told}");
    assert!(wrong("[log]\nlevel = \"info\"\nlevel = \"info\"\n").starts_with("config/warren.toml:3: "));
}

#[test]
fn syntax_errors_name_the_key() {
    let told = |text: &str| wrong(text).split_once(": ").unwrap().1.to_owned();
    assert_eq!(told("[listener]\nbacklog = 1\nbacklog = 2\n"), "backlog: duplicate key");
    assert_eq!(told("[log]\n[log]\n"), "log: duplicate key");
    assert!(told("[log]\nlevel = \n").starts_with("level: "));
    assert_eq!(told("[log\n"), "log: unclosed table, expected `]`");
}

#[test]
fn files_of_other_systems_editors() {
    let dir = tempfile::tempdir().unwrap();
    let load = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let loaded = Config::load(&Sources { file: Some(path), ..Sources::default() });
        loaded.map(|config| config.limits.heartbeat).map_err(|error| error.to_string())
    };
    assert_eq!(load("a.toml", b"\xef\xbb\xbf[limits]\r\nheartbeat = 7\r\n"), Ok(7));
    assert_eq!(load("a.conf", b"\xef\xbb\xbfheartbeat = 7\r\n"), Ok(7));
    for name in ["b.toml", "b.conf"] {
        let told = load(name, b"# one\n# \xfc\n").unwrap_err();
        assert!(told.ends_with(&format!("{name}:2: not UTF-8")), "{told}");
    }
}

#[test]
fn addresses_of_servers() {
    let url = |value: &str| from_variable("WARREN_DEFINITIONS_URL", value).map(|config| config.definitions.url);
    for right in ["", "http://a", "https://a:1/b?c=d", "http://[::1]:8000/auth"] {
        assert_eq!(url(right).as_deref(), Ok(right));
    }
    for wrong in ["a", "ftp://a/b", "http://", "https:///d", "https://:80/d", "http://a b/"] {
        assert!(url(wrong).unwrap_err().contains("expected http://"), "{wrong}");
    }
    let told = url("https://user:hunter2@a/d").unwrap_err();
    assert!(told.contains("without a user") && !told.contains("hunter2"), "{told}");
    let keys = |value: &str| from_variable("WARREN_AUTH_OAUTH2_KEYS", value).is_ok();
    assert!(keys("/etc/keys.json") && keys("https://a/jwks") && !keys("file://x") && !keys("https://u:p@a/jwks"));
    assert!(from_variable("WARREN_AUTH_HTTP_USER_URL", "").is_err());
}

#[test]
fn variables() {
    assert_eq!(from_variable("WARREN_LISTENER_BACKLOG", "7").unwrap().listener.backlog, 7);
    assert!(!from_variable("WARREN_LISTENER_NODELAY", "false").unwrap().listener.nodelay);
    assert_eq!(from_variable("WARREN_LIMITS_HEARTBEAT", "30").unwrap().limits.heartbeat, 30);
    assert_eq!(
        from_variable("WARREN_MEMORY_HIGH_WATERMARK", "0.25").unwrap().memory.high_watermark,
        Watermark::Share(0.25)
    );
    let two = from_variable("WARREN_LISTENER_ADDRESS", "127.0.0.1:1, 127.0.0.1:2").unwrap();
    assert_eq!(two.listener.address.len(), 2);
    for none in ["", "[]"] {
        assert!(from_variable("WARREN_AUTH_LOOPBACK_USERS", none).unwrap().auth.loopback_users.is_empty());
    }
    assert_eq!(
        from_variable("WARREN_LISTENER_BACKLOG", "many").unwrap_err(),
        "WARREN_LISTENER_BACKLOG: expected a whole number from 1 to 65535, found \"many\""
    );
}

#[test]
fn misspelt_variables_are_refused_foreign_ones_are_not() {
    assert_eq!(
        from_variable("WARREN_LOG_LEVL", "info").unwrap_err(),
        "WARREN_LOG_LEVL: no such setting; did you mean WARREN_LOG_LEVEL?"
    );
    for foreign in
        ["WARREN_PORT", "WARREN_SERVICE_HOST", "WARREN_PORT_5672_TCP_ADDR", "WARREN_CONFIG", "WARREN_CRASH_CYCLES"]
    {
        assert!(from_variable(foreign, "x").is_ok(), "{foreign}");
    }
}

#[test]
fn variables_are_unambiguous() {
    let mut names: Vec<String> = Config::SETTINGS.iter().map(Setting::variable).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), Config::SETTINGS.len());
}

#[test]
fn a_wrong_file_is_told_though_overridden() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.toml");
    fs::write(&path, "log.level = \"loud\"").unwrap();
    let environment = vec![("WARREN_LOG_LEVEL".to_owned(), "info".to_owned())];
    let error = Config::load(&Sources { file: Some(path), environment, overrides: Vec::new() }).unwrap_err();
    assert!(!error.is_usage() && error.to_string().contains("w.toml:1: log.level: expected"), "{error}");
}

#[test]
fn passwords_are_not_shown() {
    let config = from_text("auth.default_password = \"hunter2\"").unwrap();
    assert_eq!(config.auth.default_password.reveal(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2") && format!("{config:?}").contains("***"));
    for error in [wrong("auth.default_password = [\"hunter2\"]"), wrong("auth.default_password = hunter2")] {
        assert!(!error.contains("hunter2"), "{error}");
    }
}

fn machine(files: &[(&str, &str)]) -> Option<u64> {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    available_under(root.path())
}

#[test]
fn available_memory_is_the_least_limit() {
    let meminfo = ("proc/meminfo", "MemTotal:        4096 kB\nMemFree:  1 kB\n");
    assert_eq!(machine(&[]), None);
    assert_eq!(machine(&[meminfo]), Some(4096 * 1024));
    let v2 = ("proc/self/cgroup", "0::/a/b\n");
    assert_eq!(machine(&[meminfo, v2, ("sys/fs/cgroup/a/b/memory.max", "max\n")]), Some(4096 * 1024));
    assert_eq!(machine(&[meminfo, v2, ("sys/fs/cgroup/a/b/memory.max", "1000\n")]), Some(1000));
    let above = [("sys/fs/cgroup/a/memory.max", "900\n"), ("sys/fs/cgroup/a/b/memory.max", "1000\n")];
    assert_eq!(machine(&[&[meminfo, v2][..], &above].concat()), Some(900));
    let v1 = ("proc/self/cgroup", "7:cpu,cpuacct:/x\n3:memory:/docker/1\n");
    assert_eq!(machine(&[meminfo, v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n")]), Some(2000));
    let none = ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
    assert_eq!(machine(&[meminfo, v1, none]), Some(4096 * 1024));
}

#[test]
fn this_machine_tells_its_memory() {
    assert!(memory_available().is_none_or(|bytes| bytes > 1 << 20));
    assert!(from_text("").unwrap().memory.budget() > 0);
}
