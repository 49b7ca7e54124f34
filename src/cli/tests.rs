//! Command lines, and what comes of them.

use super::*;

fn run(words: &[&str], environment: &[(&str, &str)]) -> Result<Config, Stop> {
    let arguments = std::iter::once("warren").chain(words.iter().copied()).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    match parse_from(arguments, environment)? {
        Command::Serve(loaded) => Ok(loaded.config),
        Command::Perf(_) => panic!("not a serve command"),
    }
}

fn stop(words: &[&str], environment: &[(&str, &str)]) -> Stop {
    run(words, environment).expect_err("should be refused")
}

#[test]
fn serve_alone_takes_the_defaults() {
    let config = run(&["serve"], &[]).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("./data"));
    assert_eq!(config.listener.address, vec!["127.0.0.1:5672".parse().unwrap()]);
}

#[test]
fn command_line_beats_environment_beats_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w.toml");
    std::fs::write(&file, "data_dir = \"file\"\nlog.level = \"warn\"\nlog.format = \"json\"\n").unwrap();
    let environment = [("WARREN_DATA_DIR", "variable"), ("WARREN_LOG_LEVEL", "error")];
    let words = ["serve", "--config", file.to_str().unwrap(), "--data-dir", "option"];
    let config = run(&words, &environment).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("option"));
    assert_eq!(config.log.level, crate::config::LogLevel::Error);
    assert_eq!(config.log.format, crate::config::LogFormat::Json);
}

#[test]
fn listen_may_be_repeated() {
    let config = run(&["serve", "--listen", "127.0.0.1:0", "--listen", "[::1]:5673"], &[]).unwrap();
    assert_eq!(config.listener.address, vec!["127.0.0.1:0".parse().unwrap(), "[::1]:5673".parse().unwrap()]);
}

#[test]
fn wrong_option_value_is_usage() {
    let stop = stop(&["serve", "--listen", "here"], &[]);
    let expected = "IP:PORT such as \"127.0.0.1:5672\" or \"[::1]:5672\", or a list of them; [] for none";
    assert_eq!(stop, Stop { status: 64, text: format!("warren: --listen: expected {expected}, found \"here\"\n") });
}

#[test]
fn wrong_variable_is_configuration() {
    let stop = stop(&["serve"], &[("WARREN_DURABILITY_SYNC", "sometimes")]);
    let expected = "\"always\", \"interval\" or \"never\"";
    let text = format!("warren: WARREN_DURABILITY_SYNC: expected {expected}, found \"sometimes\"\n");
    assert_eq!(stop, Stop { status: 78, text });
}

#[test]
fn missing_file_is_configuration() {
    let stop = stop(&["serve", "--config", "/nowhere/w.toml"], &[]);
    assert_eq!(stop.status, 78);
    assert!(stop.text.starts_with("warren: /nowhere/w.toml: cannot be read: No such file"), "{}", stop.text);
}

#[test]
fn unknown_words_are_usage() {
    let unknown = stop(&["serve", "--prot"], &[]);
    assert_eq!(unknown.status, 64);
    assert!(unknown.text.starts_with("warren: unexpected argument '--prot' found\n"), "{}", unknown.text);
    assert_eq!(stop(&["dance"], &[]).status, 64);
    assert_eq!(stop(&[], &[]).status, 64);
}

#[test]
fn version_and_help_are_no_faults() {
    let version = stop(&["--version"], &[]);
    assert_eq!(version, Stop { status: 0, text: format!("warren {}\n", env!("CARGO_PKG_VERSION")) });
    assert_eq!(stop(&["--help"], &[]).status, 0);
}

#[test]
fn serve_help_names_every_setting_and_variable() {
    let help = stop(&["serve", "--help"], &[]);
    assert_eq!(help.status, 0);
    for setting in Config::SETTINGS {
        let head = format!("  {} = {}\n      {}\n", setting.key, setting.default, setting.variable());
        assert!(help.text.contains(&head), "no {head}");
    }
    for option in
        ["--config <FILE>", "--data-dir <DIR>", "--listen <ADDR>", "--log-level", "--log-format", "WARREN_CONFIG"]
    {
        assert!(help.text.contains(option), "no {option}");
    }
    assert!(help.text.lines().all(|line| line.chars().count() <= 100), "{}", help.text);
}

#[test]
fn config_effective_is_a_file_that_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w.toml");
    std::fs::write(&file, "[auth]\ndefault_password = \"hunter2\"\n").unwrap();
    let environment = [
        ("RABBITMQ_NODE_PORT", "5673"),
        ("WARREN_LISTENER_BACKLOG", "7"),
        ("WARREN_LISTENER_NODELAY", "false"),
        ("WARREN_AUTH_LOOPBACK_USERS", "a, b"),
        ("WARREN_MEMORY_HIGH_WATERMARK", "0.5"),
        ("WARREN_DATA_DIR", "it's \"here\""),
    ];
    let words = ["--config", file.to_str().unwrap(), "--log-level", "warn"];
    let told = stop(&[&["config", "effective"], &words[..]].concat(), &environment);
    assert_eq!(told.status, 0);
    assert!(!told.text.contains("hunter2"), "{}", told.text);
    let at = format!("  # {}:2\n", file.display());
    for line in [
        &format!("default_password = \"***\"{at}")[..],
        "address = [\"[::]:5673\"]  # RABBITMQ_NODE_PORT\n",
        "backlog = 7  # WARREN_LISTENER_BACKLOG\n",
        "level = \"warn\"  # --log-level\n",
        "heartbeat = \"60s\"\n",
    ] {
        assert!(told.text.contains(line), "no {line} in {}", told.text);
    }
    let again = dir.path().join("again.toml");
    std::fs::write(&again, told.text.replacen("***", "hunter2", 1).replace("***", "guest")).unwrap();
    let one = run(&[&["serve"], &words[..]].concat(), &environment).unwrap();
    assert_eq!(run(&["serve", "--config", again.to_str().unwrap()], &[]).unwrap(), one);
}

#[test]
fn config_check_names_what_means_nothing_here() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq.conf");
    std::fs::write(&file, "heartbeat = 30\ncluster_formation.peer_discovery_backend = dns\nmqtt.vhost = /\n").unwrap();
    let told = stop(&["config", "check", "--config", file.to_str().unwrap()], &[]);
    let text = "settings: ok\nmeans nothing here: cluster_formation.peer_discovery_backend (there is one node)\n\
                means nothing here: mqtt.vhost (this protocol is not there)\n";
    assert_eq!(told, Stop { status: 0, text: text.into() });
    std::fs::write(&file, "\nheartbeat = often\n").unwrap();
    let told = stop(&["config", "check", "--config", file.to_str().unwrap()], &[]);
    let text = format!("warren: {}:2: heartbeat: expected a whole number, found \"often\"\n", file.display());
    assert_eq!(told, Stop { status: 78, text });
}

#[test]
fn an_empty_variable_names_no_file() {
    assert_eq!(run(&["serve"], &[("WARREN_CONFIG", "")]).unwrap().data_dir, PathBuf::from("./data"));
    let told = stop(&["serve"], &[("WARREN_CONFIG", "/nowhere/w.toml")]).text;
    assert!(told.contains("/nowhere/w.toml: cannot be read"), "{told}");
}

#[test]
fn a_check_of_the_settings_reads_the_certificates_too() {
    let dir = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).display().to_string()
    };
    let certificate = write("c.pem", &own.cert.pem());
    let key = write("k.pem", &own.signing_key.serialize_pem());
    let wrong = write("w.pem", &other.signing_key.serialize_pem());
    let check = |section: &str, key: &str| {
        stop(
            &["config", "check"],
            &[
                (&format!("WARREN_{section}_CERTIFICATE"), certificate.as_str()),
                (&format!("WARREN_{section}_KEY"), key),
            ],
        )
    };
    for (section, setting) in [("TLS", "tls.certificate"), ("MANAGEMENT_TLS", "management.tls_certificate")] {
        assert_eq!(check(section, &key), Stop { status: 0, text: "settings: ok\n".to_owned() });
        let told = check(section, &wrong);
        assert_eq!(told.status, EXIT_CONFIG);
        assert!(told.text.starts_with(&format!("warren: {setting}: {wrong} is not the key")), "{}", told.text);
    }
}
