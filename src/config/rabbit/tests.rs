//! RabbitMQ's keys, and what they amount to.

use crate::config::{
    ClientCertificates, Config, Loaded, LogLevel, LoginFrom, QueueType, RatesMode, Sources, Stamp, VhostDefaults,
    Watermark,
};
use std::fs;
use std::time::Duration;

pub(super) fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq.conf");
    fs::write(&file, text).unwrap();
    let variables = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let file_variable = ("RABBITMQ_CONFIG_FILE".to_owned(), dir.path().join("rabbitmq").display().to_string());
    let environment = variables.chain([file_variable]).collect();
    let loaded = Config::load_all(&Sources { environment, ..Sources::default() });
    loaded.map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

fn config(text: &str) -> Config {
    load(text, &[]).unwrap().config
}

fn addresses(text: &str) -> Vec<String> {
    config(text).listener.address.iter().map(ToString::to_string).collect()
}

#[test]
fn listeners() {
    assert_eq!(addresses(""), ["127.0.0.1:5672"]);
    assert_eq!(addresses("listeners.tcp.default = 5673"), ["[::]:5673"]);
    let two = "listeners.tcp.local = 127.0.0.1:5672\nlisteners.tcp.other = ::1:5673\nlisteners.tcp.third=[::1]:1\n";
    assert_eq!(addresses(two), ["127.0.0.1:5672", "[::1]:5673", "[::1]:1"]);
    let secure = "listeners.ssl.default = 5671\nssl_options.certfile = /a.pem\nssl_options.keyfile = /a.key\n";
    assert!(addresses(&format!("listeners.tcp = none\n{secure}")).is_empty());
    let secure = config(&format!("listeners.tcp = none\n{secure}")).listener;
    assert!(secure.address.is_empty() && secure.tls_address == ["[::]:5671".parse().unwrap()]);
    let fault = load("listeners.tcp.default = localhost", &[]).unwrap_err();
    assert_eq!(fault, "rabbitmq.conf:1: listeners.tcp.default: expected a port, or IP:PORT, found \"localhost\"");
}

#[test]
fn management_and_figures() {
    let secure = "management.ssl.port = 15674\nmanagement.ssl.certfile = /h.pem\nmanagement.ssl.keyfile = /h.key\n";
    let found = config(&format!("management.tcp.port = 15673\n{secure}prometheus.tcp.port = 1\n"));
    assert_eq!(found.management.address, ["[::]:15673".parse().unwrap()]);
    assert_eq!(found.management.tls_address, ["[::]:15674".parse().unwrap()]);
    assert_eq!(found.prometheus.address, ["[::]:1".parse().unwrap()]);
    let cors = "management.cors.allow_origins.1 = https://a.example\nmanagement.cors.allow_origins.2 = *\nmanagement.cors.max_age = 60\n";
    let found = config(cors).management;
    let origins: Vec<&str> = found.cors_origins.iter().map(crate::name::Name::as_str).collect();
    assert_eq!((origins, found.cors_max_age.as_secs()), (vec!["https://a.example", "*"], 60));
    // A port alone is open to all, unless another key names the interface.
    let found = config("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 15673\nprometheus.tcp.ip = ::1\n");
    assert_eq!(found.management.address, ["127.0.0.1:15673".parse().unwrap()]);
    assert_eq!(found.prometheus.address, ["[::1]:15692".parse().unwrap()]);
    let fault = load("management.tcp.ip = localhost", &[]).unwrap_err();
    assert_eq!(fault, "rabbitmq.conf:1: management.tcp.ip: expected an IP address, found \"localhost\"");
}

#[test]
fn tls() {
    let text = "ssl_options.cacertfile = /ca.pem\nssl_options.certfile = /cert.pem\nssl_options.keyfile = /key.pem\n\
                ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\nssl_options.versions.1 = tlsv1.3\n\
                ssl_options.versions.2 = tlsv1.1\nssl_cert_login_from = subject_alternative_name\n\
                ssl_cert_login_san_type = email\nssl_cert_login_san_index = 1\nssl_options.password = hunter2\n";
    let loaded = load(text, &[]).unwrap();
    let tls = &loaded.config.tls;
    assert_eq!(tls.certificate.as_deref().unwrap().to_str(), Some("/cert.pem"));
    assert_eq!((tls.clients, tls.login_from), (ClientCertificates::Required, LoginFrom::SanEmail));
    assert_eq!((tls.login_from_place, &tls.versions[..]), (1, &["1.3"][..]));
    assert_eq!(tls.key_password.reveal(), "hunter2");
    let unused = ["ssl_options.versions.2 (only tlsv1.2 and tlsv1.3 are spoken)"];
    assert_eq!(loaded.unused, unused);
    let clients = |text| config(text).tls.clients;
    assert_eq!(clients("ssl_options.verify = verify_peer"), ClientCertificates::Verified);
    assert_eq!(clients("ssl_options.fail_if_no_peer_cert = true"), ClientCertificates::Ignored);
    assert_eq!(config("ssl_cert_login_from = common_name").tls.login_from, LoginFrom::CommonName);
    assert_eq!(config("ssl_cert_login_from = subject_alternative_name").tls.login_from, LoginFrom::SanDns);
}

#[test]
fn limits_memory_and_disk() {
    let text = "heartbeat = 30\nframe_max = 65536\nchannel_max = 100\nmax_message_size = 1048576\nconsumer_timeout = 900000\n\
                handshake_timeout = 5000\nconnection_max = infinity\nvm_memory_high_watermark.relative = 0.4\n\
                disk_free_limit.absolute = 2GB\ndefault_queue_type = quorum\ntcp_listen_options.backlog = 128\n";
    let found = config(text);
    assert_eq!((found.limits.heartbeat, found.limits.frame_max, found.limits.channel_max), (30, 65536, 100));
    assert_eq!((found.limits.max_message_size, found.limits.consumer_timeout), (1 << 20, Duration::from_secs(900)));
    assert_eq!((found.listener.handshake_timeout, found.listener.connection_max), (Duration::from_secs(5), 0));
    assert_eq!((found.memory.high_watermark, found.disk.free_limit), (Watermark::Share(0.4), 2_000_000_000));
    assert_eq!((found.queues.default_type, found.listener.backlog), (QueueType::Quorum, 128));
    for (size, wanted) in [("1GiB", 1 << 30), ("512MB", 512_000_000), ("3G", 3 << 30), ("1024kiB", 1 << 20), ("7", 7)] {
        assert_eq!(config(&format!("disk_free_limit.absolute = {size}")).disk.free_limit, wanted, "{size}");
    }
    assert_eq!(config("consumer_timeout = undefined").limits.consumer_timeout, Duration::ZERO);
}

#[test]
fn users_and_logs() {
    let text = "default_user = admin\ndefault_pass = 'p#1'\ndefault_vhost = main\nloopback_users.guest = false\n\
                auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\nanonymous_login_user = none\nlog.console = true\n\
                log.console.level = warning\nload_definitions = /d.json\ndefault_user_tags.administrator = true\n\
                default_permissions.read = .*\n";
    let loaded = load(text, &[]).unwrap();
    let auth = &loaded.config.auth;
    assert_eq!((auth.default_user.as_str(), auth.default_password.reveal()), ("admin", "p#1"));
    assert_eq!((auth.default_vhost.as_str(), auth.loopback_users.len()), ("main", 0));
    assert_eq!((&auth.mechanisms[..], &auth.anonymous_login_user), (&["PLAIN", "EXTERNAL"][..], &None));
    assert_eq!(loaded.config.log.level, LogLevel::Warn);
    assert_eq!(loaded.config.definitions.file.unwrap().to_str(), Some("/d.json"));
    assert!(loaded.unused.is_empty(), "{:?}", loaded.unused);
    assert!(config("loopback_users = none").auth.loopback_users.is_empty());
    let users: Vec<_> =
        config("loopback_users.a = true\nloopback_users.b = true\nloopback_users.guest = false").auth.loopback_users;
    assert_eq!(users.iter().map(|user| user.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn definitions() {
    let loaded = load(
        "definitions.import_backend = local_filesystem\ndefinitions.local.path = /d\ndefinitions.https.url = https://a/d\n\
         definitions.skip_if_unchanged = true\ndefinitions.hashing.algorithm = sha512\n",
        &[],
    )
    .unwrap();
    let found = loaded.config.definitions;
    assert_eq!((found.file.unwrap().to_str(), &found.url[..], found.skip_if_unchanged), (Some("/d"), "", true));
    let algorithm = "definitions.hashing.algorithm (it is sha256)";
    let url = "definitions.https.url (definitions.import_backend does not name it)";
    assert_eq!(loaded.unused, [algorithm, url]);

    let loaded = load(
        "load_definitions = /first.json\ndefinitions.https.url = https://a/d\ndefinitions.import_backend = https\n\
         definitions.tls.cacertfile = /ca.pem\ndefinitions.tls.verify = verify_peer\ndefinitions.hashing.algorithm = sha256\n",
        &[],
    )
    .unwrap();
    let found = loaded.config.definitions;
    assert_eq!((found.file.unwrap().to_str(), &found.url[..]), (Some("/first.json"), "https://a/d"));
    assert_eq!((found.authorities.unwrap().to_str(), found.skip_if_unchanged), (Some("/ca.pem"), false));
    assert!(loaded.unused.is_empty(), "{:?}", loaded.unused);

    let both = "load_definitions = /a\ndefinitions.import_backend = local\ndefinitions.local.path = /b\n";
    let loaded = load(both, &[]).unwrap();
    assert_eq!(loaded.config.definitions.file.unwrap().to_str(), Some("/b"));
    assert_eq!(loaded.unused, ["load_definitions (definitions.local.path is imported)"]);
    assert!(config("definitions.local.path = /b").definitions.file.is_none());
    assert!(load("definitions.skip_if_unchanged = perhaps", &[]).is_err());
    assert!(load("definitions.hashing.algorithm = md5", &[]).is_err());
}

#[test]
fn back_ends() {
    let backends = |text| config(text).auth.backends;
    assert_eq!(
        backends("auth_backends.1 = internal\nauth_backends.2 = rabbit_auth_backend_http"),
        ["internal", "http"]
    );
    assert_eq!(backends("auth_backends.10 = internal\nauth_backends.9 = http"), ["http", "internal"]);
    assert_eq!(backends("auth_backends.1.authn = http\nauth_backends.1.authz = internal"), ["http_login"]);
    let cached = "auth_backends.1 = cache\nauth_cache.cached_backend = http\nauth_cache.cache_ttl = 5000\n\
                  auth_http.http_method = post\nauth_http.user_path = http://a/u\n";
    let found = config(cached);
    assert_eq!((&found.auth.backends[..], found.auth_http.cache_ttl), (&["http"][..], Duration::from_secs(5)));
    assert!(found.auth_http.cache_logins && !config("auth_backends.1 = http").auth_http.cache_logins);
    assert_eq!(
        (found.auth_http.method, &found.auth_http.user_url[..]),
        (crate::config::HttpMethod::Post, "http://a/u")
    );
    let tokens = config(
        "auth_backends.1 = oauth2\nauth_oauth2.resource_server_id = r\nauth_oauth2.jwks_uri = https://k\n\
         auth_oauth2.issuer = https://i\nauth_oauth2.verify_aud = false\nauth_oauth2.scope_prefix = r:\n\
         auth_oauth2.preferred_username_claims.1 = user_name\n",
    )
    .auth_oauth2;
    assert_eq!((&tokens.keys[..], &tokens.resource_server_id[..], &tokens.issuer[..]), ("https://k", "r", "https://i"));
    assert!(!tokens.verify_audience && tokens.scope_prefix == "r:" && tokens.user_claims.len() == 1);
    let fault = load("auth_backends.1 = magic", &[]).unwrap_err();
    assert!(fault.contains("auth_backends.1: expected internal, http, oauth2 or cache"), "{fault}");
}

#[test]
fn proxies_are_trusted_where_networks_are_private() {
    let proxies = config("proxy_protocol = true").listener.proxies;
    assert!(proxies.contains(&("10.0.0.0".parse().unwrap(), 8)) && proxies.iter().all(|(_, bits)| *bits > 0));
    assert!(config("proxy_protocol = false").listener.proxies.is_empty());
}

#[test]
fn faults_say_file_line_key_expected_and_found() {
    for (text, wanted) in [
        ("\nheartbeat = x", "2: heartbeat: expected a whole number, found \"x\""),
        ("heartbeat", "1: expected `key = value`"),
        ("frame_max = 100", "1: frame_max: expected a size such as \"64KiB\", from 4KiB to 512MiB, or 0, found 100"),
        (
            "default_pass = encrypted:abc",
            "1: default_pass: expected a passphrase for the encrypted value, found none in WARREN_CONFIG_PASSPHRASE or \
             WARREN_CONFIG_PASSPHRASE_FILE",
        ),
        ("ssl_options.verify = yes", "1: ssl_options.verify: expected verify_peer or verify_none, found \"yes\""),
        (
            "log.console.level = loud",
            "1: log.console.level: expected debug, info, warning, error, critical or none, found \"loud\"",
        ),
    ] {
        assert_eq!(load(text, &[]).unwrap_err(), format!("rabbitmq.conf:{wanted}"), "{text}");
    }
}

#[test]
fn encrypted_values_are_decrypted_and_never_shown() {
    let text = "default_pass = encrypted:AAECAwQFBgcICQoLDA0OD2RlZmdoaWprbG1ub3BxcnPpDPlHcbq1+rSuviQ8D+SO\n";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passphrase");
    fs::write(&file, "mypassphrase\n").unwrap();
    for environment in
        [("WARREN_CONFIG_PASSPHRASE", "mypassphrase"), ("WARREN_CONFIG_PASSPHRASE_FILE", file.to_str().unwrap())]
    {
        let loaded = load(text, &[environment]).unwrap();
        assert_eq!(loaded.config.auth.default_password.reveal(), "bunny-1");
        assert!(!format!("{loaded:?}").contains("bunny"));
    }
    let wrong = load(text, &[("WARREN_CONFIG_PASSPHRASE", "another")]).unwrap_err();
    assert!(wrong.contains("1: default_pass: expected a value that this passphrase decrypts"), "{wrong}");
    let misplaced = text.replace("default_pass", "heartbeat");
    let wrong = load(&misplaced, &[("WARREN_CONFIG_PASSPHRASE", "mypassphrase")]).unwrap_err();
    assert!(!wrong.contains("bunny"), "{wrong}");
    assert!(
        load("", &[("WARREN_CONFIG_PASSPHRASE_FILE", "/nowhere/x")]).unwrap_err().contains("/nowhere/x cannot be read")
    );
}

/// Files as they are found in the field.
#[test]
fn files_of_other_peoples_brokers_are_read() {
    // As RabbitMQ's operator for Kubernetes writes it.
    let operator = "queue_master_locator = min-masters\ndisk_free_limit.absolute = 2GB\n\
        cluster_partition_handling = pause_minority\ncluster_formation.peer_discovery_backend = rabbit_peer_discovery_k8s\n\
        cluster_formation.k8s.host = kubernetes.default\ncluster_formation.k8s.address_type = hostname\n\
        cluster_formation.target_cluster_size_hint = 3\ncluster_name = meadow\n\
        total_memory_available_override_value = 1717986919\ndefault_user = default_user_x\ndefault_pass = p-ss=1\n";
    let loaded = load(operator, &[]).unwrap();
    assert_eq!(loaded.config.disk.free_limit, 2_000_000_000);
    assert_eq!(loaded.config.server.cluster_name.as_str(), "meadow");
    assert_eq!(loaded.config.memory.high_watermark, Watermark::Bytes(1_030_792_151));
    assert_eq!(loaded.unused.len(), 6, "{:?}", loaded.unused);
    // As it is mounted into containers.
    let container = "loopback_users.guest = false\nlisteners.tcp.default = 5672\nmanagement.tcp.port = 15672\n\
        log.console = true\nlog.console.level = info\nlog.file = false\nload_definitions = /etc/rabbitmq/definitions.json\n\
        vm_memory_high_watermark.absolute = 1024MiB\nconsumer_timeout = 31622400000\n";
    let loaded = load(container, &[]).unwrap();
    assert!(loaded.unused.is_empty(), "{:?}", loaded.unused);
    assert_eq!(loaded.config.limits.consumer_timeout, Duration::from_secs(365 * 86_400));
    // As it has grown on a machine since 3.7.
    let old = "listeners.tcp.1 = :::5672\nlisteners.tcp.2 = 10.0.0.1:5673\nlisteners.ssl.1 = 5671\n\
        ssl_options.cacertfile = /ca.pem\nssl_options.certfile = /c.pem\nssl_options.keyfile = /k.pem\n\
        ssl_options.depth = 2\nssl_options.honor_cipher_order = true\nssl_options.ciphers.1 = ECDHE-RSA-AES256-GCM-SHA384\n\
        management.listener.port = 15672\nmanagement.listener.ip = 127.0.0.1\nmanagement.listener.ssl = false\n\
        tcp_listen_options.backlog = 128\ntcp_listen_options.nodelay = true\ntcp_listen_options.linger.on = true\n\
        tcp_listen_options.exit_on_close = false\nvm_memory_high_watermark_paging_ratio = 0.75\nheartbeat = 30\n\
        auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = AMQPLAIN\nauth_mechanisms.3 = RABBIT-CR-DEMO\n\
        collect_statistics_interval = 5000\nmanagement.rates_mode = basic\nmqtt.allow_anonymous = true\n";
    let loaded = load(old, &[]).unwrap();
    assert_eq!(loaded.config.management.address, ["127.0.0.1:15672".parse().unwrap()]);
    assert_eq!(loaded.config.auth.mechanisms, ["PLAIN", "AMQPLAIN"]);
    assert!(loaded.config.listener.reset_on_close);
    assert_eq!(loaded.unused.len(), 7, "{:?}", loaded.unused);
}

#[test]
fn how_much_there_may_be_on_the_node() {
    let limits = config("vhost_max = 3\ncluster_queue_limit = 1000\ncluster_exchange_limit = infinity\n").limits;
    assert_eq!([limits.vhost_max, limits.queue_max, limits.exchange_max], [3, 1000, 0]);
    let fault = load("vhost_max = many", &[]).unwrap_err();
    assert_eq!(fault, "rabbitmq.conf:1: vhost_max: expected a whole number, or infinity, found \"many\"");
}

#[test]
fn the_limits_that_vhosts_are_made_with() {
    let text = "default_limits.vhosts.10.max_queues = 20\ndefault_limits.vhosts.2.pattern = ^a,b c$\n\
                default_limits.vhosts.2.max_connections = 10\ndefault_limits.vhosts.2.max_queues = -1\n\
                default_limits.vhosts.3.max_queues = -1\n";
    let loaded = load(text, &[]).unwrap();
    let of = |pattern: &str, max_connections, max_queues| VhostDefaults {
        pattern: pattern.to_owned(),
        max_connections,
        max_queues,
    };
    assert_eq!(
        loaded.config.limits.vhost_limits,
        [of("^a,b c$", Some(10), None), of(".*", None, None), of(".*", None, Some(20))]
    );
    assert!(loaded.unused.is_empty(), "{:?}", loaded.unused);
    let fault = load("default_limits.vhosts.1.max_queues = few", &[]).unwrap_err();
    let expected = "rabbitmq.conf:1: default_limits.vhosts.1.max_queues: expected a whole number, or -1 for no limit, \
                    found \"few\"";
    assert_eq!(fault, expected);
    assert!(load("default_limits.vhosts.1.pattern = (", &[]).is_err());
}

#[test]
fn the_default_users_tags_and_rights() {
    let auth = |text: &str| config(text).auth;
    let tags = |text: &str| auth(text).default_tags.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(tags(""), ["administrator"]);
    assert_eq!(tags("default_user_tags.monitoring = true\ndefault_user_tags.x = true"), ["monitoring", "x"]);
    assert_eq!(tags("default_user_tags.administrator = false"), [""; 0]);
    let rights = |text: &str| {
        let found = auth(text);
        [found.default_configure, found.default_write, found.default_read]
    };
    assert_eq!(rights("default_permissions.write = ^a"), [".*", "^a", ".*"]);
    assert_eq!(rights("default_permissions.configure = ^$\ndefault_permissions.read = b"), ["^$", ".*", "b"]);
}

#[test]
fn the_management_api_has_a_certificate_and_rules_of_its_own() {
    let http = "management.ssl.port = 15671\nmanagement.ssl.certfile = /h.pem\nmanagement.ssl.keyfile = /h.key\n";
    let amqp = "listeners.ssl.default = 5671\nssl_options.certfile = /a.pem\nssl_options.keyfile = /a.key\n\
                ssl_options.cacertfile = /ca.pem\nssl_options.verify = verify_peer\n\
                ssl_options.fail_if_no_peer_cert = true\n";
    let found = config(http);
    assert!(found.tls.certificate.is_none());
    assert_eq!(found.management.tls_certificate.unwrap().display().to_string(), "/h.pem");
    assert_eq!(found.management.tls_key.unwrap().display().to_string(), "/h.key");
    for text in [format!("{http}{amqp}"), format!("{amqp}{http}")] {
        let Config { tls, management, .. } = config(&text);
        assert_eq!(tls.certificate.unwrap().display().to_string(), "/a.pem");
        assert_eq!(management.tls_certificate.unwrap().display().to_string(), "/h.pem");
        assert_eq!((tls.clients, management.tls_clients), (ClientCertificates::Required, ClientCertificates::Ignored));
    }
    let verified =
        "management.ssl.cacertfile = /hca.pem\nmanagement.ssl.verify = verify_peer\nmanagement.ssl.password = p\n";
    let management = config(&format!("{http}{verified}")).management;
    assert_eq!(management.tls_clients, ClientCertificates::Verified);
    assert_eq!(management.tls_authorities.unwrap().display().to_string(), "/hca.pem");
    assert_eq!(management.tls_key_password.reveal(), "p");
}

#[test]
fn a_back_end_of_definitions_needs_its_place() {
    let told = |text: &str| load(text, &[]).unwrap_err();
    assert_eq!(
        told("definitions.import_backend = https"),
        "rabbitmq.conf:1: definitions.import_backend: needs definitions.https.url"
    );
    let local = "heartbeat = 5\ndefinitions.import_backend = local_filesystem\ndefinitions.https.url = https://a/d\n";
    assert_eq!(told(local), "rabbitmq.conf:2: definitions.import_backend: needs definitions.local.path");
    let named = "definitions.import_backend = local_filesystem\nload_definitions = /a\n";
    assert_eq!(config(named).definitions.file.unwrap().to_str(), Some("/a"));
}

#[test]
fn shares_of_memory_are_shares_of_what_the_file_says() {
    let watermark =
        |text: &str| config(&format!("total_memory_available_override_value = 1GB\n{text}")).memory.high_watermark;
    assert_eq!(watermark("vm_memory_high_watermark.relative = 0.25"), Watermark::Bytes(250_000_000));
    assert_eq!(watermark("vm_memory_high_watermark.absolute = 70MB"), Watermark::Bytes(70_000_000));
    assert_eq!(watermark(""), Watermark::Bytes(600_000_000));
}

#[test]
fn others_are_told_once_and_without_their_values() {
    let text = "mqtt.default_pass = hunter2\nmqtt.default_pass = hunter3\ncluster_partition_handling = autoheal\n\
        management.rates_mode = detailed\nmanagement.rates_mode = detailed\n";
    let loaded = load(text, &[("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-x hunter4")]).unwrap();
    let unused = [
        "mqtt.default_pass (this protocol is not there)",
        "cluster_partition_handling (there is one node)",
        "management.rates_mode (rates are of queues, exchanges and channels, not of their pairs)",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS (there is no Erlang)",
    ];
    assert_eq!(loaded.unused, unused);
}

#[test]
fn the_example_says_what_is_so_anyway() {
    let text = include_str!("../../../config/rabbitmq.conf");
    let loaded = load(text, &[]).unwrap();
    assert!(loaded.unused.is_empty(), "{:?}", loaded.unused);
    let bare: String = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(load(&bare, &[]).unwrap().unused.is_empty(), "{:?}", load(&bare, &[]).unwrap().unused);
}

#[test]
fn every_key_is_honoured_or_has_a_reason() {
    let text = include_str!("every_key.conf");
    let loaded = load(text, &[]).unwrap();
    let unknown: Vec<_> = loaded.unused.iter().filter(|told| told.contains("no such key")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(loaded.unused.iter().all(|told| told.ends_with(')')), "{:?}", loaded.unused);
    // Once by name, whatever the file says how often.
    assert_eq!(load(&text.repeat(2), &[]).unwrap().unused, loaded.unused);
    let unknown = load("defualt_user = a\n", &[]).unwrap().unused;
    assert_eq!(unknown, ["defualt_user (no such key is known)"]);
}

#[test]
fn the_users_and_policies_that_vhosts_are_made_with() {
    let text = "default_users.m.password = hunter2\ndefault_users.m.tags = monitoring, x\ndefault_users.a\\.b.read = ^$\n\
                default_users.m.vhost_pattern = ^p\ndefault_policies.operator.l.max_length_bytes = 1MB\n\
                default_policies.operator.l.message_ttl = 1h\ndefault_policies.operator.l.queue_pattern = ^q\n\
                default_policies.operator.blank.vhost_pattern = x\n";
    let loaded = load(text, &[]).unwrap();
    let users = &loaded.config.auth.vhost_users;
    assert_eq!((users[0].name.as_str(), &users[0].password, &users[0].rights[2][..]), ("a.b", &None, "^$"));
    let second = &users[1];
    assert_eq!((second.name.as_str(), &second.vhosts[..], second.tags.len()), ("m", "^p", 2));
    assert_eq!(second.password.as_ref().unwrap().reveal(), "hunter2");
    let policy = &loaded.config.limits.vhost_policies[0];
    assert_eq!((&policy.queues[..], &policy.vhosts[..], policy.apply_to), ("^q", ".*", "all"));
    assert_eq!(policy.definition, [("max-length-bytes", 1_000_000), ("message-ttl", 3_600_000)]);
    assert_eq!(loaded.unused, ["default_policies.operator.blank (it says nothing of queues)"]);
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("hunter") && shown.contains("password = \\\"***\\\""), "{shown}");
    for (text, wanted) in [
        (
            "default_users.a.vhost_pattern = (",
            "default_users.a.vhost_pattern: expected a regular expression, found \"(\"",
        ),
        ("default_users..tags = a", "default_users..tags: expected a name of 1 to 255 bytes in the key, found \"a\""),
        (
            "default_policies.operator.a.expires = 0",
            "default_policies.operator.a.expires: expected a time such as 86400000 (in ms), 90s or 1h, found \"0\"",
        ),
        (
            "default_policies.operator.a.max_length = 0",
            "default_policies.operator.a.max_length: expected a whole number above 0, found \"0\"",
        ),
    ] {
        assert_eq!(load(text, &[]).unwrap_err(), format!("rabbitmq.conf:1: {wanted}"), "{text}");
    }
}

#[test]
fn what_is_written_into_messages() {
    let stamps = |text: &str| {
        let stamps = config(text).stamps;
        (stamps.timestamp, stamps.routing_node)
    };
    assert_eq!(stamps(""), (Stamp::Off, Stamp::Off));
    let (time, node) = ("message_interceptors.incoming.set_header_timestamp.overwrite", "set_header_routing_node");
    assert_eq!(stamps(&format!("{time} = true")), (Stamp::Overwrite, Stamp::Off));
    let node = format!("message_interceptors.incoming.{node}.overwrite = false");
    assert_eq!(stamps(&node), (Stamp::Off, Stamp::Missing));
    let fault = load(&format!("{time} = maybe"), &[]).unwrap_err();
    assert_eq!(fault, format!("rabbitmq.conf:1: {time}: expected true or false, found \"maybe\""));
}

#[test]
fn sockets_tags_and_the_api() {
    let found = config(
        "tcp_listen_options.keepalive = true\ntcp_listen_options.sndbuf = 8192\ntcp_listen_options.recbuf = 4096\n",
    );
    assert_eq!(
        (found.listener.keepalive, found.listener.send_buffer, found.listener.receive_buffer),
        (true, 8192, 4096)
    );
    let linger = |text: &str| {
        let loaded = load(&text.replace("X", "tcp_listen_options.linger"), &[]).unwrap();
        (loaded.config.listener.reset_on_close, loaded.unused.join(""))
    };
    assert_eq!(linger("X.on = true\nX.timeout = 0\n"), (true, String::new()));
    assert_eq!(linger("X.on = false\nX.timeout = 0\n"), (false, String::new()));
    let waits = "tcp_listen_options.linger.timeout (closing waits for nobody)".to_owned();
    assert_eq!(linger("X.on = true\nX.timeout = 5\n"), (false, waits));
    let found = config("cluster_tags.region = north\nnode_tags.role = 'a #1'\nevent_exchange.vhost = e\n").server;
    let own = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    assert_eq!((found.cluster_tags, found.node_tags), (own("region", "north"), own("role", "a #1")));
    assert_eq!(found.event_vhost.as_str(), "e");
    let found = config(
        "management.path_prefix = a/b/\nmanagement.rates_mode = none\nmanagement.disable_stats = true\n\
                        management.disable_basic_auth = true\ncollect_statistics_interval = 1000000\n\
                        management.restrictions.operator_policy_changes.disabled = true\n",
    )
    .management;
    assert_eq!((&found.path_prefix[..], found.rates_mode, found.disable_stats), ("/a/b", RatesMode::None, true));
    assert_eq!((found.basic_auth, found.operator_policy_changes), (false, false));
    assert_eq!(found.sample_interval, Duration::from_secs(60));
    for prefix in ["/a b", "//", "/a//b", "/..", "/{x}", "/a?b"] {
        assert_eq!(load(&format!("management.path_prefix = {prefix}"), &[]).is_ok(), prefix == "//", "{prefix}");
    }
    assert_eq!(config("initial_frame_max = 16KiB").limits.initial_frame_max, 16_384);
    let both = "disk_free_limit.relative = 1.0\ndisk_free_limit.absolute = 7\n";
    for text in [both.to_owned(), both.lines().rev().fold(String::new(), |text, line| text + line + "\n")] {
        let loaded = load(&text, &[]).unwrap();
        assert_eq!(loaded.config.disk.free_limit, 7);
        assert_eq!(loaded.unused, ["disk_free_limit.relative (disk_free_limit.absolute is)"]);
    }
}

#[test]
fn scopes_that_stand_for_others() {
    let tokens = |text: &str| config(text).auth_oauth2;
    let found = tokens(
        "auth_oauth2.scope_aliases.admin = rabbitmq.tag:administrator rabbitmq.read:*/*\n\
         auth_oauth2.scope_aliases.1.alias = api://Employee.All\nauth_oauth2.scope_aliases.1.scope = rabbitmq.read:*/*\n\
         auth_oauth2.additional_scopes_key = roles realm_access.roles\n",
    );
    let read = "rabbitmq.read:*/*".to_owned();
    let wanted = [
        ("api://Employee.All".to_owned(), vec![read.clone()]),
        ("admin".to_owned(), vec!["rabbitmq.tag:administrator".to_owned(), read]),
    ];
    assert_eq!(found.scope_aliases, wanted);
    let claims: Vec<String> = found.more_scopes.iter().map(ToString::to_string).collect();
    assert_eq!(claims, ["roles", "realm_access.roles"]);
    let fault = load("auth_oauth2.scope_aliases.1.alias = a", &[]).unwrap_err();
    assert!(fault.starts_with("rabbitmq.conf:1: auth_oauth2.scope_aliases.1.alias: expected a list"), "{fault}");
}
