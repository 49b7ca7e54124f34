//! Where RabbitMQ's settings come from: files, directories, variables, and what stands beside them.

use super::tests::load;
use crate::config::{Config, Sources};
use std::fs;

#[test]
fn whoever_names_rabbitmqs_port_has_its_other_ports() {
    let ports = |text: &str, environment: &[(&str, &str)]| {
        let found = load(text, environment).unwrap().config;
        [found.management.address, found.prometheus.address]
            .map(|addresses| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    let image = [("RABBITMQ_NODE_PORT", "5672")];
    assert_eq!(ports("", &[]), ["127.0.0.1:15672", "127.0.0.1:15692"]);
    assert_eq!(ports("", &image), ["[::]:15672", "[::]:15692"]);
    let own = "management.tcp.port = 1\nmanagement.tcp.ip = 127.0.0.1\nprometheus.tcp.ip = 10.0.0.1\n";
    assert_eq!(ports(own, &image), ["127.0.0.1:1", "10.0.0.1:15692"]);
    let ours = [image[0], ("WARREN_MANAGEMENT_ADDRESS", "127.0.0.1:2")];
    assert_eq!(ports("", &ours)[0], "127.0.0.1:2");
}

#[test]
fn erlangs_terms_beside_the_file_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq.conf");
    fs::write(&file, "heartbeat = 1\n").unwrap();
    fs::write(dir.path().join("advanced.config"), "[].").unwrap();
    let loaded = Config::load_all(&Sources { file: Some(file.clone()), ..Sources::default() }).unwrap();
    // The API shows the files that settings come from.
    let files: Vec<_> =
        loaded.effective.iter().filter_map(|one| one.file.as_ref().map(|file| (one.key, file))).collect();
    assert_eq!(files, [("limits.heartbeat", &file)]);
    assert_eq!(loaded.unused.len(), 1);
    assert!(loaded.unused[0].ends_with("advanced.config (Erlang's terms are not read)"), "{:?}", loaded.unused);
}

#[test]
fn variables_are_stronger_than_the_file_and_ours_stronger_than_both() {
    let text = "default_user = file\ndefault_pass = file\nlisteners.tcp.default = 1\ndefault_vhost = file";
    let variables = [
        ("RABBITMQ_DEFAULT_USER", "variable"),
        ("RABBITMQ_NODE_PORT", "2"),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.2"),
        ("RABBITMQ_DEFAULT_PASS", ""),
        ("WARREN_AUTH_DEFAULT_VHOST", "ours"),
    ];
    let found = load(text, &variables).unwrap().config;
    assert_eq!(found.auth.default_user.as_str(), "variable");
    assert_eq!(found.auth.default_password.reveal(), "file");
    assert_eq!(found.auth.default_vhost.as_str(), "ours");
    assert_eq!(found.listener.address, ["127.0.0.2:2".parse().unwrap()]);
    let fault = load("", &[("RABBITMQ_NODE_PORT", "many")]).unwrap_err();
    assert_eq!(fault, "RABBITMQ_NODE_PORT: expected a port, or IP:PORT, found \"many\"");
}

#[test]
fn files_of_a_directory_are_read_by_name_and_missing_ones_are_none() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("20.conf"), "heartbeat = 20").unwrap();
    fs::write(dir.path().join("10.conf"), "heartbeat = 10\nchannel_max = 7").unwrap();
    fs::write(dir.path().join("30.txt"), "heartbeat = 30").unwrap();
    for named in [format!("{}", dir.path().display()), format!("{}/*.conf", dir.path().display())] {
        let environment = vec![
            ("RABBITMQ_CONFIG_FILES".to_owned(), named),
            ("RABBITMQ_CONFIG_FILE".to_owned(), dir.path().join("none").display().to_string()),
        ];
        let found = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
        assert_eq!((found.limits.heartbeat, found.limits.channel_max), (20, 7));
    }
}

#[test]
fn variables_of_a_file_and_enabled_plugins() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq-env.conf");
    fs::write(&file, "NODENAME=hare@north\nNODE_PORT=7\nLOG_BASE=$HOME\nRABBITMQ_DEFAULT_USER=file\n").unwrap();
    fs::write(dir.path().join("enabled_plugins"), "[rabbitmq_management,rabbitmq_mqtt].").unwrap();
    let plugins = dir.path().join("enabled_plugins").display().to_string();
    let named = file.display().to_string();
    let variables = [
        ("RABBITMQ_CONF_ENV_FILE", named.as_str()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", plugins.as_str()),
        ("RABBITMQ_DEFAULT_USER", "set"),
    ];
    let loaded = load("", &variables).unwrap();
    assert_eq!(loaded.config.listener.address, ["[::]:7".parse().unwrap()]);
    assert_eq!(loaded.config.server.node_name, "hare@north");
    assert_eq!(loaded.config.auth.default_user.as_str(), "set", "what is set is stronger");
    let told = [
        format!("{named}:3 (only NAME=value is read)"),
        format!("rabbitmq_mqtt in {plugins} (this plugin is not there)"),
    ];
    assert_eq!(loaded.unused, told);
    fs::write(&file, "\nNODE_PORT=many\n").unwrap();
    let fault = load("", &variables).unwrap_err();
    assert_eq!(fault, format!("{named}:2: RABBITMQ_NODE_PORT: expected a port, or IP:PORT, found \"many\""));
    let missing = load("", &[("RABBITMQ_CONF_ENV_FILE", "/nowhere/x")]).unwrap().unused;
    assert!(missing[0].starts_with("RABBITMQ_CONF_ENV_FILE (/nowhere/x cannot be read"), "{missing:?}");
}
