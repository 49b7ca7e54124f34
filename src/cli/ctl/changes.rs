//! Commands that change something: users, virtual hosts, permissions, policies, parameters, queues, connections.

use super::api::{Answer, Api, encoded};
use super::line::Line;
use super::{Failure, Said, Told, done, must};
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
        done(must(api.ask("DELETE", &path, None)?, no_user(user))?, &banner)
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
        let banner = format!("Clearing topic permissions for user \"{user}\" in vhost \"{vhost}\" ...");
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
        must(api.get(&path)?, no_vhost(vhost))?;
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
        must(api.get(&path)?, no_vhost(vhost))?;
        let tags: Vec<&str> = line.arguments.iter().skip(1).map(String::as_str).collect();
        let answer = api.ask("PUT", &path, Some(&json!({"tags": tags.join(",")})))?;
        done(
            must(answer, no_vhost(vhost))?,
            &format!("Setting tags for vhost \"{vhost}\" to [{}] ...", tags.join(", ")),
        )
    }),
    ("restart_vhost", 0..=0, |api, line| {
        let vhost = line.vhost();
        let path = format!("vhosts/{}/start/{}", encoded(vhost), encoded(&super::node::name(api)?));
        done(
            must(api.ask("POST", &path, None)?, no_vhost(vhost))?,
            &format!("Trying to restart vhost '{vhost}' on node ..."),
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
        set_limits(api, "vhost-limits", line.vhost(), line.argument(0), no_vhost(line.vhost()))
    }),
    ("clear_vhost_limits", 0..=0, |api, line| clear_limits(api, "vhost-limits", line.vhost(), no_vhost(line.vhost()))),
    ("set_user_limits", 2..=2, |api, line| {
        set_limits(api, "user-limits", line.argument(0), line.argument(1), no_user(line.argument(0)))
    }),
    ("clear_user_limits", 2..=2, |api, line| {
        let (user, limit) = (line.argument(0), line.argument(1));
        if limit == "all" {
            return clear_limits(api, "user-limits", user, no_user(user));
        }
        let path = format!("user-limits/{}/{}", encoded(user), encoded(limit));
        done(must(api.ask("DELETE", &path, None)?, no_user(user))?, &format!("Clearing limit of user \"{user}\" ..."))
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
        let banner = format!("Setting runtime parameter \"{name}\" for component \"{component}\" ...");
        done(must(api.ask("PUT", &path, Some(&body))?, no_vhost(line.vhost()))?, &banner)
    }),
    ("clear_parameter", 2..=2, |api, line| {
        let (component, name) = (line.argument(0), line.argument(1));
        let path = format!("parameters/{}/{}/{}", encoded(component), encoded(line.vhost()), encoded(name));
        let missing = Failure::data("Parameter does not exist");
        done(must(api.ask("DELETE", &path, None)?, missing)?, &format!("Clearing runtime parameter \"{name}\" ..."))
    }),
    ("set_global_parameter", 2..=2, |api, line| {
        let name = line.argument(0);
        let body = json!({"name": name, "value": read(line.argument(1))?});
        let answer = api.ask("PUT", &format!("global-parameters/{}", encoded(name)), Some(&body))?;
        done(must(answer, Failure::data("not found"))?, &format!("Setting global runtime parameter \"{name}\" ..."))
    }),
    ("clear_global_parameter", 1..=1, |api, line| {
        let name = line.argument(0);
        let answer = api.ask("DELETE", &format!("global-parameters/{}", encoded(name)), None)?;
        let missing = Failure::data("Parameter does not exist");
        done(must(answer, missing)?, &format!("Clearing global runtime parameter \"{name}\" ..."))
    }),
    ("purge_queue", 1..=1, |api, line| {
        let answer = api.ask("DELETE", &format!("{}/contents", queue(line)), None)?;
        let banner = format!("Purging queue '{}' in vhost '{}' ...", line.argument(0), line.vhost());
        done(must(answer, no_queue(line))?, &banner)
    }),
    ("delete_queue", 1..=1, |api, line| {
        let conditions: Vec<&str> = ["if-empty", "if-unused"].into_iter().filter(|name| line.has(name)).collect();
        let query = conditions.iter().map(|name| format!("{name}=true")).collect::<Vec<_>>().join("&");
        let path = if query.is_empty() { queue(line) } else { format!("{}?{query}", queue(line)) };
        let banner = format!("Deleting queue '{}' on vhost '{}' ...", line.argument(0), line.vhost());
        done(must(api.ask("DELETE", &path, None)?, no_queue(line))?, &banner)
    }),
    ("set_cluster_name", 1..=1, |api, line| {
        let name = line.argument(0);
        let answer = api.ask("PUT", "cluster-name", Some(&json!({ "name": name })))?;
        done(must(answer, Failure::data("not found"))?, &format!("Setting cluster name to {name} ..."))
    }),
    ("hash_password", 1..=1, |api, line| {
        let answer = api.get(&format!("auth/hash_password/{}", encoded(line.argument(0))))?;
        let hash = must(answer, Failure::data("not found"))?.get("ok").cloned().unwrap_or_default();
        Ok(Said { value: hash, ..Said::doing("Will hash password ...".to_owned()) })
    }),
    ("enable_feature_flag", 1..=1, |_, _| Ok(Said::doing("All feature flags are enabled".to_owned()))),
    ("export_definitions", 1..=1, |api, line| {
        let file = line.argument(0);
        let definitions = must(api.get("definitions")?, Failure::data("not found"))?;
        let text = serde_json::to_string_pretty(&definitions).unwrap_or_default();
        if file == "-" {
            return Ok(Said { value: definitions, ..Said::default() });
        }
        std::fs::write(file, text).map_err(|error| Failure::data(&format!("{file}: {error}")))?;
        Ok(Said::doing(format!("Exporting definitions in JSON to a file at \"{file}\" ...")))
    }),
    ("import_definitions", 0..=1, |api, line| {
        let file = line.argument(0);
        let text = match file {
            "" | "-" => std::io::read_to_string(std::io::stdin()),
            path => std::fs::read_to_string(path),
        };
        let text = text.map_err(|error| Failure::data(&format!("{file}: {error}")))?;
        let answer = api.ask("POST", "definitions", Some(&read(&text)?))?;
        done(must(answer, Failure::data("not found"))?, "Importing definitions ...")
    }),
];

fn users(user: &str) -> String {
    format!("users/{}", encoded(user))
}

fn queue(line: &Line) -> String {
    format!("queues/{}/{}", encoded(line.vhost()), encoded(line.argument(0)))
}

pub(super) fn no_user(user: &str) -> Failure {
    Failure { status: super::NO_USER, text: format!("User \"{user}\" does not exist") }
}

pub(super) fn no_vhost(vhost: &str) -> Failure {
    Failure::data(&format!("Virtual host '{vhost}' does not exist"))
}

fn no_queue(line: &Line) -> Failure {
    Failure::data(&format!("Queue '{}' does not exist in vhost '{}'", line.argument(0), line.vhost()))
}

fn read(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|fault| Failure::data(&format!("Could not parse JSON: {fault}")))
}

/// The names of everything in a list.
pub(super) fn names(api: &Api, path: &str) -> Result<Vec<String>, Failure> {
    let list = must(api.get(path)?, Failure::data("not found"))?;
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items.iter().filter_map(|item| Some(item.get("name")?.as_str()?.to_owned())).collect())
}

/// The password: an argument, or the first line of standard input.
fn password(line: &Line) -> Result<String, Failure> {
    if line.arguments.len() > 1 {
        return Ok(line.argument(1).to_owned());
    }
    let mut given = String::new();
    std::io::stdin().read_line(&mut given).map_err(|error| Failure::data(&format!("no password: {error}")))?;
    Ok(given.trim_end_matches(['\r', '\n']).to_owned())
}

fn add_user(api: &Api, line: &Line) -> Told {
    let user = line.argument(0);
    if let Answer::Done(_) = api.get(&users(user))? {
        if line.has("skip-if-exists") {
            return Ok(Said::doing(format!("User \"{user}\" already exists")));
        }
        return Err(Failure { status: super::SOFTWARE, text: format!("User \"{user}\" already exists") });
    }
    let password = password(line)?;
    let member = if line.has("pre-hashed-password") { "password_hash" } else { "password" };
    let body = json!({ member: password, "tags": "" });
    must(api.ask("PUT", &users(user), Some(&body))?, no_user(user))?;
    Ok(Said {
        after: "Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help \
                set_permissions' to learn more."
            .to_owned(),
        ..Said::doing(format!("Adding user \"{user}\" ..."))
    })
}

/// The user as it is, with another password or other tags.
fn change_user(api: &Api, user: &str, change: &[(&str, Value)]) -> Result<Value, Failure> {
    let current = must(api.get(&users(user))?, no_user(user))?;
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
    let password = password(line)?;
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
    let (user, password) = (line.argument(0), password(line)?);
    let credentials = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let answer = api.ask_with("GET", "whoami", None, Some(("Authorization", &credentials)))?;
    // Who has no business here is known all the same.
    let right = match &answer {
        Answer::Done(_) => true,
        Answer::Refused(_, reason) => reason.starts_with("Not management user"),
        Answer::NotFound => false,
    };
    if !right {
        return Err(Failure::data(&format!("failed to authenticate user \"{user}\"")));
    }
    Ok(Said { after: "Success".to_owned(), ..Said::doing(format!("Authenticating user \"{user}\" ...")) })
}

fn grant(api: &Api, line: &Line, vhost: &str) -> Result<Value, Failure> {
    let user = line.argument(0);
    must(api.get(&users(user))?, no_user(user))?;
    let path = format!("permissions/{}/{}", encoded(vhost), encoded(user));
    let body = json!({"configure": line.argument(1), "write": line.argument(2), "read": line.argument(3)});
    must(api.ask("PUT", &path, Some(&body))?, no_vhost(vhost))
}

fn set_permissions(api: &Api, line: &Line) -> Told {
    let banner = format!("Setting permissions for user \"{}\" in vhost \"{}\" ...", line.argument(0), line.vhost());
    done(grant(api, line, line.vhost())?, &banner)
}

fn set_limits(api: &Api, kind: &str, of: &str, limits: &str, missing: Failure) -> Told {
    let limits = read(limits)?;
    let Some(limits) = limits.as_object() else { return Err(Failure::data("Could not parse JSON: no object")) };
    for (name, value) in limits {
        let path = format!("{kind}/{}/{}", encoded(of), encoded(name));
        must(api.ask("PUT", &path, Some(&json!({ "value": value })))?, missing.clone())?;
    }
    Ok(Said::doing(format!("Setting limits of \"{of}\" ...")))
}

fn clear_limits(api: &Api, kind: &str, of: &str, missing: Failure) -> Told {
    for name in ["max-connections", "max-queues", "max-channels"] {
        let answer = api.ask("DELETE", &format!("{kind}/{}/{name}", encoded(of)), None)?;
        if !matches!(answer, Answer::NotFound | Answer::Refused(400, _)) {
            must(answer, missing.clone())?;
        }
    }
    Ok(Said::doing(format!("Clearing limits of \"{of}\" ...")))
}

fn trace(api: &Api, line: &Line, on: bool) -> Told {
    let vhost = line.vhost();
    let answer = api.ask("PUT", &format!("vhosts/{}", encoded(vhost)), Some(&json!({ "tracing": on })))?;
    let (doing, after) = if on { ("Starting", "enabled") } else { ("Stopping", "disabled") };
    must(answer, no_vhost(vhost))?;
    let banner = format!("{doing} tracing for vhost \"{vhost}\" ...");
    Ok(Said { after: format!("Trace {after} for vhost {vhost}"), ..Said::doing(banner) })
}

fn set_policy(api: &Api, line: &Line, kind: &str) -> Told {
    let (name, vhost) = (line.argument(0), line.vhost());
    let priority: i64 = match line.option("priority").or(line.arguments.get(3).map(String::as_str)) {
        None => 0,
        Some(text) => text.parse().map_err(|_| Failure::data(&format!("priority {text} is no whole number")))?,
    };
    let body = json!({
        "pattern": line.argument(1),
        "definition": read(line.argument(2))?,
        "priority": priority,
        "apply-to": line.option("apply-to").unwrap_or("all"),
    });
    let answer = api.ask("PUT", &format!("{kind}/{}/{}", encoded(vhost), encoded(name)), Some(&body))?;
    let banner = format!(
        "Setting policy \"{name}\" for pattern \"{}\" to \"{}\" with priority \"{priority}\" for vhost \"{vhost}\" ...",
        line.argument(1),
        line.argument(2)
    );
    done(must(answer, no_vhost(vhost))?, &banner)
}

fn clear_policy(api: &Api, line: &Line, kind: &str) -> Told {
    let (name, vhost) = (line.argument(0), line.vhost());
    let answer = api.ask("DELETE", &format!("{kind}/{}/{}", encoded(vhost), encoded(name)), None)?;
    let missing = Failure::data(&format!("Parameter does not exist: policy {name} in vhost {vhost}"));
    done(must(answer, missing)?, &format!("Clearing policy \"{name}\" on vhost \"{vhost}\" ..."))
}
