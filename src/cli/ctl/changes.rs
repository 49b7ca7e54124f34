//! Commands that change something: users, virtual hosts, permissions, policies, parameters, queues, connections.

use super::api::{Answer, Api, encoded};
use super::line::Line;
use super::outcome::{DATA, Failure, NO_USER, SOFTWARE, Said, Told, UNAVAILABLE, USAGE, done, must};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// A command: its name, how many arguments it takes, and what it does.
pub(super) type Command = (&'static str, std::ops::RangeInclusive<usize>, fn(&Api, &Line) -> Told);

/// All of them.
pub(super) const COMMANDS: &[Command] = &[
    ("add_user", 1..=2, add_user),
    ("change_password", 1..=2, change_password),
    ("clear_password", 1..=1, clear_password),
    ("delete_user", 1..=1, |api, line| {
        let user = line.argument(0);
        done(must(api.ask("DELETE", &users(user), None)?, no_user(user))?, &format!("Deleting user \"{user}\" ..."))
    }),
    ("set_user_tags", 1..=usize::MAX, set_user_tags),
    ("authenticate_user", 1..=2, authenticate_user),
    ("set_permissions", 4..=4, set_permissions),
    ("set_permissions_globally", 4..=4, |api, line| {
        for vhost in names(api, "vhosts")? {
            grant(api, line, &vhost)?;
        }
        Ok(Said::doing(format!("Setting permissions for user \"{}\" in all virtual hosts ...", line.argument(0))))
    }),
    ("clear_permissions", 1..=1, |api, line| {
        let (user, vhost) = (line.argument(0), line.vhost());
        let path = format!("permissions/{}/{}", encoded(vhost), encoded(user));
        let banner = format!("Clearing permissions for user \"{user}\" in vhost \"{vhost}\" ...");
        check_user(api, user)?;
        check_vhost(api, vhost)?;
        match api.ask("DELETE", &path, None)? {
            // There were none.
            Answer::NotFound => Ok(Said::doing(banner)),
            answer => done(must(answer, no_user(user))?, &banner),
        }
    }),
    ("set_topic_permissions", 4..=4, |api, line| {
        let (user, vhost) = (line.argument(0), line.vhost());
        let path = format!("topic-permissions/{}/{}", encoded(vhost), encoded(user));
        let body = json!({"exchange": line.argument(1), "write": line.argument(2), "read": line.argument(3)});
        let banner = format!(
            "Setting topic permissions on \"{}\" for user \"{user}\" in vhost \"{vhost}\" ...",
            line.argument(1)
        );
        done(must(api.ask("PUT", &path, Some(&body))?, no_user(user))?, &banner)
    }),
    ("clear_topic_permissions", 1..=2, |api, line| {
        let (user, vhost) = (line.argument(0), line.vhost());
        let path = format!("topic-permissions/{}/{}", encoded(vhost), encoded(user));
        let path = if line.arguments.len() > 1 { format!("{path}/{}", encoded(line.argument(1))) } else { path };
        let of = if line.arguments.len() > 1 { format!(" on \"{}\"", line.argument(1)) } else { String::new() };
        let banner = format!("Clearing topic permissions{of} for user \"{user}\" in vhost \"{vhost}\" ...");
        done(must(api.ask("DELETE", &path, None)?, no_user(user))?, &banner)
    }),
    ("add_vhost", 1..=1, |api, line| {
        let vhost = line.argument(0);
        let mut body = Map::new();
        for (option, member) in
            [("description", "description"), ("tags", "tags"), ("default-queue-type", "default_queue_type")]
        {
            line.option(option).into_iter().for_each(|value| drop(body.insert(member.into(), value.into())));
        }
        let answer = api.ask("PUT", &format!("vhosts/{}", encoded(vhost)), Some(&Value::Object(body)))?;
        done(must(answer, no_vhost(vhost))?, &format!("Adding vhost \"{vhost}\" ..."))
    }),
    ("delete_vhost", 1..=1, |api, line| {
        let vhost = line.argument(0);
        let answer = api.ask("DELETE", &format!("vhosts/{}", encoded(vhost)), None)?;
        done(must(answer, no_vhost(vhost))?, &format!("Deleting vhost \"{vhost}\" ..."))
    }),
    ("update_vhost_metadata", 1..=1, |api, line| {
        let vhost = line.argument(0);
        let path = format!("vhosts/{}", encoded(vhost));
        check_vhost(api, vhost)?;
        let mut body = Map::new();
        for (option, member) in
            [("description", "description"), ("tags", "tags"), ("default-queue-type", "default_queue_type")]
        {
            line.option(option).into_iter().for_each(|value| drop(body.insert(member.into(), value.into())));
        }
        let answer = api.ask("PUT", &path, Some(&Value::Object(body)))?;
        done(must(answer, no_vhost(vhost))?, &format!("Updating metadata of vhost \"{vhost}\" ..."))
    }),
    ("set_vhost_tags", 1..=usize::MAX, |api, line| {
        let vhost = line.argument(0);
        let path = format!("vhosts/{}", encoded(vhost));
        check_vhost(api, vhost)?;
        let tags: Vec<&str> = line.arguments.iter().skip(1).map(String::as_str).collect();
        let answer = api.ask("PUT", &path, Some(&json!({"tags": tags.join(",")})))?;
        done(
            must(answer, no_vhost(vhost))?,
            &format!("Setting tags for virtual host \"{vhost}\" to [{}] ...", tags.join(", ")),
        )
    }),
    ("restart_vhost", 0..=0, |api, line| {
        let vhost = line.vhost();
        let node = super::node::name(api)?;
        check_vhost(api, vhost)?;
        let path = format!("vhosts/{}/start/{}", encoded(vhost), encoded(&node));
        done(
            must(api.ask("POST", &path, None)?, no_vhost(vhost))?,
            &format!("Trying to restart vhost '{vhost}' on node '{node}' ..."),
        )
    }),
    ("enable_vhost_deletion_protection", 1..=1, |api, line| {
        let path = format!("vhosts/{}/deletion/protection", encoded(line.argument(0)));
        done(must(api.ask("POST", &path, None)?, no_vhost(line.argument(0)))?, "Enabling deletion protection ...")
    }),
    ("disable_vhost_deletion_protection", 1..=1, |api, line| {
        let path = format!("vhosts/{}/deletion/protection", encoded(line.argument(0)));
        done(must(api.ask("DELETE", &path, None)?, no_vhost(line.argument(0)))?, "Disabling deletion protection ...")
    }),
    ("set_vhost_limits", 1..=1, |api, line| {
        let (vhost, limits) = (line.vhost(), line.argument(0));
        let banner = format!("Setting vhost limits to \"{limits}\" for vhost \"{vhost}\" ...");
        set_limits(api, "vhost-limits", vhost, limits, no_vhost(vhost), &banner)
    }),
    ("clear_vhost_limits", 0..=0, |api, line| {
        let vhost = line.vhost();
        clear_limits(api, "vhost-limits", vhost, no_vhost(vhost), &format!("Clearing vhost \"{vhost}\" limits ..."))
    }),
    ("set_user_limits", 2..=2, |api, line| {
        let (user, limits) = (line.argument(0), line.argument(1));
        let banner = format!("Setting user limits to \"{limits}\" for user \"{user}\" ...");
        set_limits(api, "user-limits", user, limits, no_user(user), &banner)
    }),
    ("clear_user_limits", 2..=2, |api, line| {
        let (user, limit) = (line.argument(0), line.argument(1));
        if limit == "all" {
            let banner = format!("Clearing all limits for user \"{user}\" ...");
            check_user(api, user)?;
            return clear_limits(api, "user-limits", user, no_user(user), &banner);
        }
        let path = format!("user-limits/{}/{}", encoded(user), encoded(limit));
        done(
            must(api.ask("DELETE", &path, None)?, no_user(user))?,
            &format!("Clearing \"{limit}\" limit for user \"{user}\" ..."),
        )
    }),
    ("trace_on", 0..=0, |api, line| trace(api, line, true)),
    ("trace_off", 0..=0, |api, line| trace(api, line, false)),
    ("set_policy", 3..=4, |api, line| set_policy(api, line, "policies")),
    ("clear_policy", 1..=1, |api, line| clear_policy(api, line, "policies")),
    ("set_operator_policy", 3..=4, |api, line| set_policy(api, line, "operator-policies")),
    ("clear_operator_policy", 1..=1, |api, line| clear_policy(api, line, "operator-policies")),
    ("set_parameter", 3..=3, |api, line| {
        let (component, name) = (line.argument(0), line.argument(1));
        let path = format!("parameters/{}/{}/{}", encoded(component), encoded(line.vhost()), encoded(name));
        let body =
            json!({"component": component, "vhost": line.vhost(), "name": name, "value": read(line.argument(2))?});
        let banner = format!(
            "Setting runtime parameter \"{name}\" for component \"{component}\" to \"{}\" in vhost \"{}\" ...",
            line.argument(2),
            line.vhost()
        );
        done(must(api.ask("PUT", &path, Some(&body))?, no_vhost(line.vhost()))?, &banner)
    }),
    ("clear_parameter", 2..=2, |api, line| {
        let (component, name) = (line.argument(0), line.argument(1));
        let path = format!("parameters/{}/{}/{}", encoded(component), encoded(line.vhost()), encoded(name));
        let banner = format!(
            "Clearing runtime parameter \"{name}\" for component \"{component}\" on vhost \"{}\" ...",
            line.vhost()
        );
        done(must(api.ask("DELETE", &path, None)?, no_parameter())?, &banner)
    }),
    ("set_global_parameter", 2..=2, |api, line| {
        let name = line.argument(0);
        let body = json!({"name": name, "value": read(line.argument(1))?});
        let answer = api.ask("PUT", &format!("global-parameters/{}", encoded(name)), Some(&body))?;
        done(
            must(answer, Failure::data("not found"))?,
            &format!("Setting global runtime parameter \"{name}\" to \"{}\" ...", line.argument(1)),
        )
    }),
    ("clear_global_parameter", 1..=1, |api, line| {
        let name = line.argument(0);
        let answer = api.ask("DELETE", &format!("global-parameters/{}", encoded(name)), None)?;
        done(must(answer, no_parameter())?, &format!("Clearing global runtime parameter \"{name}\" ..."))
    }),
    ("purge_queue", 1..=1, |api, line| {
        let answer = api.ask("DELETE", &format!("{}/contents", queue(line)), None)?;
        let banner = format!("Purging queue '{}' in vhost '{}' ...", line.argument(0), line.vhost());
        done(must(answer, no_queue(UNAVAILABLE, line))?, &banner)
    }),
    ("delete_queue", 1..=1, delete_queue),
    ("set_cluster_name", 1..=1, |api, line| {
        let name = line.argument(0);
        let answer = api.ask("PUT", "cluster-name", Some(&json!({ "name": name })))?;
        done(must(answer, Failure::data("not found"))?, &format!("Setting cluster name to {name} ..."))
    }),
    ("hash_password", 0..=1, |api, line| {
        let path = format!("auth/hash_password/{}", encoded(&password(line, 0)?));
        let hash = must(api.get(&path)?, Failure::data("not found"))?.get("ok").cloned().unwrap_or_default();
        Ok(Said::doing("Will hash password ...").found(hash))
    }),
    ("enable_feature_flag", 1..=1, |api, line| {
        let flag = line.argument(0);
        if flag == "all" {
            return Ok(Said::doing("Enabling all feature flags ..."));
        }
        if names(api, "feature-flags")?.iter().any(|known| known == flag) {
            return Ok(Said::doing(format!("Enabling feature flag \"{flag}\" ...")));
        }
        let fault = format!("This feature flag is not supported by node {}", super::node::name(api)?);
        Err(Failure::new(USAGE, fault))
    }),
    ("export_definitions", 1..=1, export_definitions),
    ("import_definitions", 0..=1, import_definitions),
];

fn users(user: &str) -> String {
    format!("users/{}", encoded(user))
}

fn queue(line: &Line) -> String {
    format!("queues/{}/{}", encoded(line.vhost()), encoded(line.argument(0)))
}

pub(super) fn no_user(user: &str) -> Failure {
    Failure::new(NO_USER, format!("User \"{user}\" does not exist"))
}

pub(super) fn no_vhost(vhost: &str) -> Failure {
    Failure::data(format!("Virtual host '{vhost}' does not exist"))
}

pub(super) fn check_user(api: &Api, user: &str) -> Result<Value, Failure> {
    must(api.get(&users(user))?, no_user(user))
}

pub(super) fn check_vhost(api: &Api, vhost: &str) -> Result<Value, Failure> {
    must(api.get(&format!("vhosts/{}", encoded(vhost)))?, no_vhost(vhost))
}

fn no_queue(status: u8, line: &Line) -> Failure {
    Failure::new(status, format!("Queue '{}' not found in vhost '{}'", line.argument(0), line.vhost()))
}

fn no_parameter() -> Failure {
    Failure::new(UNAVAILABLE, "Parameter does not exist")
}

fn read(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text)
        .map_err(|fault| Failure::new(UNAVAILABLE, format!("JSON decoding error. Reason: {fault}")))
}

/// The names of everything in a list.
pub(super) fn names(api: &Api, path: &str) -> Result<Vec<String>, Failure> {
    let list = must(api.get(path)?, Failure::data("not found"))?;
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items.iter().filter_map(|item| Some(item.get("name")?.as_str()?.to_owned())).collect())
}

/// The password: an argument, or the first line of standard input.
fn password(line: &Line, place: usize) -> Result<String, Failure> {
    if line.arguments.len() > place {
        return Ok(line.argument(place).to_owned());
    }
    let missing = || Failure::new(DATA, "Password is not provided via argument or stdin");
    let mut given = String::new();
    match std::io::stdin().read_line(&mut given) {
        Ok(0) | Err(_) => Err(missing()),
        Ok(_) => Ok(given.trim_end_matches(['\r', '\n']).to_owned()),
    }
}

fn add_user(api: &Api, line: &Line) -> Told {
    let user = line.argument(0);
    if user.is_empty() {
        return Err(Failure::argument("user cannot be an empty string"));
    }
    if let Answer::Done(_) = api.get(&users(user))? {
        if line.has("skip-if-exists") {
            return Ok(Said::doing(format!("User \"{user}\" already exists")));
        }
        return Err(Failure::new(SOFTWARE, format!("User \"{user}\" already exists")));
    }
    let password = password(line, 1)?;
    let member = if line.has("pre-hashed-password") { "password_hash" } else { "password" };
    let body = json!({ member: password, "tags": "" });
    must(api.ask("PUT", &users(user), Some(&body))?, no_user(user))?;
    // Advice is for people, too.
    Ok(Said::doing(format!(
        "Adding user \"{user}\" ...\nDone. Don't forget to grant the user permissions to some virtual hosts! See \
         'rabbitmqctl help set_permissions' to learn more."
    )))
}

fn delete_queue(api: &Api, line: &Line) -> Told {
    let (name, vhost) = (line.argument(0), line.vhost());
    let conditions: Vec<&str> = ["if-empty", "if-unused"].into_iter().filter(|name| line.has(name)).collect();
    let query = conditions.iter().map(|name| format!("{name}=true")).collect::<Vec<_>>().join("&");
    let path = if query.is_empty() { queue(line) } else { format!("{}?{query}", queue(line)) };
    let found = must(api.get(&queue(line))?, no_queue(USAGE, line))?;
    match api.ask("DELETE", &path, None)? {
        // Not empty, or in use.
        Answer::Refused(400, reason) => return Err(Failure::new(USAGE, reason)),
        answer => must(answer, no_queue(USAGE, line))?,
    };
    let conditions: Vec<String> =
        conditions.iter().map(|name| format!(" if queue is {}", name.trim_start_matches("if-"))).collect();
    let ready = found.get("messages_ready").and_then(Value::as_u64).unwrap_or(0);
    let banner = format!("Deleting queue '{name}' on vhost '{vhost}'{} ...", conditions.join(" and"));
    Ok(Said::doing(banner).then(format!("Queue was successfully deleted with {ready} ready messages")))
}

/// The format that definitions are in.
fn check_format(line: &Line) -> Result<(), Failure> {
    match line.option("format").unwrap_or("json") {
        "json" => Ok(()),
        other => Err(Failure::usage(format!("Format should be json: {other} is not supported"))),
    }
}

fn export_definitions(api: &Api, line: &Line) -> Told {
    let file = line.argument(0);
    check_format(line)?;
    let directory = std::path::Path::new(file).parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        return Err(Failure::argument(&format!("Directory {} does not exist", directory.display())));
    }
    let definitions = must(api.get("definitions")?, Failure::data("not found"))?;
    if file == "-" {
        return Ok(Said::default().found(definitions.to_string()).facts(definitions));
    }
    let text = serde_json::to_string_pretty(&definitions).unwrap_or_default();
    std::fs::write(file, text).map_err(|error| Failure::data(format!("{file}: {error}")))?;
    Ok(Said::doing(format!("Exporting definitions in JSON to a file at \"{file}\" ...")))
}

fn import_definitions(api: &Api, line: &Line) -> Told {
    check_format(line)?;
    let (file, from) = match line.argument(0) {
        "" | "-" => ("", "from standard input".to_owned()),
        file => (file, format!("from a file at \"{file}\"")),
    };
    if !file.is_empty() && !std::path::Path::new(file).exists() {
        return Err(Failure::argument(&format!("File {file} does not exist")));
    }
    let text = if file.is_empty() { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    let text = text.map_err(|error| Failure::data(format!("{file}: {error}")))?;
    let definitions = serde_json::from_str(&text)
        .map_err(|fault| Failure::data(format!("Failed to deserialise input (format: JSON) (error: {fault})")))?;
    let answer = api.ask("POST", "definitions", Some(&definitions))?;
    done(must(answer, Failure::data("not found"))?, &format!("Importing definitions in JSON {from} ..."))
}

/// The user as it is, with another password or other tags.
fn change_user(api: &Api, user: &str, change: &[(&str, Value)]) -> Result<Value, Failure> {
    let current = check_user(api, user)?;
    let mut body = Map::new();
    for member in ["password_hash", "hashing_algorithm", "tags"] {
        current.get(member).into_iter().for_each(|value| drop(body.insert(member.into(), value.clone())));
    }
    for (member, value) in change {
        if *member == "password" {
            body.remove("password_hash");
            body.remove("hashing_algorithm");
        }
        body.insert((*member).to_owned(), value.clone());
    }
    must(api.ask("PUT", &users(user), Some(&Value::Object(body)))?, no_user(user))
}

fn change_password(api: &Api, line: &Line) -> Told {
    let user = line.argument(0);
    let password = password(line, 1)?;
    done(
        change_user(api, user, &[("password", password.into())])?,
        &format!("Changing password for user \"{user}\" ..."),
    )
}

fn clear_password(api: &Api, line: &Line) -> Told {
    let user = line.argument(0);
    done(
        change_user(api, user, &[("password_hash", "".into())])?,
        &format!("Clearing password for user \"{user}\" ..."),
    )
}

fn set_user_tags(api: &Api, line: &Line) -> Told {
    let user = line.argument(0);
    let tags: Vec<&str> = line.arguments.iter().skip(1).flat_map(|word| word.split(',')).map(str::trim).collect();
    let tags = tags.into_iter().filter(|tag| !tag.is_empty()).collect::<Vec<_>>();
    let banner = format!("Setting tags for user \"{user}\" to [{}] ...", tags.join(", "));
    done(change_user(api, user, &[("tags", tags.join(",").into())])?, &banner)
}

fn authenticate_user(api: &Api, line: &Line) -> Told {
    let (user, password) = (line.argument(0), password(line, 1)?);
    let credentials = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let answer = api.ask_with("GET", "whoami", None, Some(("Authorization", &credentials)))?;
    // Who has no business here is known all the same.
    let right = match &answer {
        Answer::Done(_) => true,
        Answer::Refused(_, reason) => reason.starts_with("Not management user"),
        Answer::NotFound => false,
    };
    if !right {
        return Err(Failure::data(format!("Error: failed to authenticate user \"{user}\"")));
    }
    Ok(Said::doing(format!("Authenticating user \"{user}\" ...")).then("Success"))
}

fn grant(api: &Api, line: &Line, vhost: &str) -> Result<Value, Failure> {
    let user = line.argument(0);
    check_user(api, user)?;
    let path = format!("permissions/{}/{}", encoded(vhost), encoded(user));
    let body = json!({"configure": line.argument(1), "write": line.argument(2), "read": line.argument(3)});
    must(api.ask("PUT", &path, Some(&body))?, no_vhost(vhost))
}

fn set_permissions(api: &Api, line: &Line) -> Told {
    let banner = format!("Setting permissions for user \"{}\" in vhost \"{}\" ...", line.argument(0), line.vhost());
    done(grant(api, line, line.vhost())?, &banner)
}

fn set_limits(api: &Api, kind: &str, of: &str, limits: &str, missing: Failure, banner: &str) -> Told {
    let limits = read(limits)?;
    let Some(limits) = limits.as_object() else {
        return Err(Failure::new(UNAVAILABLE, "JSON decoding error. Reason: no object"));
    };
    for (name, value) in limits {
        let path = format!("{kind}/{}/{}", encoded(of), encoded(name));
        must(api.ask("PUT", &path, Some(&json!({ "value": value })))?, missing.clone())?;
    }
    Ok(Said::doing(banner))
}

fn clear_limits(api: &Api, kind: &str, of: &str, missing: Failure, banner: &str) -> Told {
    for name in ["max-connections", "max-queues", "max-channels"] {
        let answer = api.ask("DELETE", &format!("{kind}/{}/{name}", encoded(of)), None)?;
        if !matches!(answer, Answer::NotFound | Answer::Refused(400, _)) {
            must(answer, missing.clone())?;
        }
    }
    Ok(Said::doing(banner))
}

fn trace(api: &Api, line: &Line, on: bool) -> Told {
    let vhost = line.vhost();
    let answer = api.ask("PUT", &format!("vhosts/{}", encoded(vhost)), Some(&json!({ "tracing": on })))?;
    let (doing, after) = if on { ("Starting", "enabled") } else { ("Stopping", "disabled") };
    must(answer, no_vhost(vhost))?;
    let banner = format!("{doing} tracing for vhost \"{vhost}\" ...");
    Ok(Said::doing(banner).then(format!("Trace {after} for vhost {vhost}")))
}

fn set_policy(api: &Api, line: &Line, kind: &str) -> Told {
    let (name, vhost) = (line.argument(0), line.vhost());
    let priority: i64 = match line.option("priority").or(line.arguments.get(3).map(String::as_str)) {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Failure::usage(format!("Invalid options for this command:\n--priority : {text}")))?,
    };
    let body = json!({
        "pattern": line.argument(1),
        "definition": read(line.argument(2))?,
        "priority": priority,
        "apply-to": line.option("apply-to").unwrap_or("all"),
    });
    let answer = api.ask("PUT", &format!("{kind}/{}/{}", encoded(vhost), encoded(name)), Some(&body))?;
    let what = if kind == "policies" { "policy" } else { "operator policy override" };
    let banner = format!(
        "Setting {what} \"{name}\" for pattern \"{}\" to \"{}\" with priority \"{priority}\" for vhost \"{vhost}\" ...",
        line.argument(1),
        line.argument(2)
    );
    done(must(answer, no_vhost(vhost))?, &banner)
}

fn clear_policy(api: &Api, line: &Line, kind: &str) -> Told {
    let (name, vhost) = (line.argument(0), line.vhost());
    let answer = api.ask("DELETE", &format!("{kind}/{}/{}", encoded(vhost), encoded(name)), None)?;
    let what = if kind == "policies" { "policy" } else { "operator policy" };
    done(must(answer, no_parameter())?, &format!("Clearing {what} \"{name}\" on vhost \"{vhost}\" ..."))
}
