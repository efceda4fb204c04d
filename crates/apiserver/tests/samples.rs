//! Repeats what a real kube-apiserver was asked and compares every answer with its own.
//!
//! `data/apiserver-samples.json` holds requests in families of steps, each family in a namespace of
//! its own, with the code, content type, warnings and body of each answer. Values that differ from
//! run to run are placeholders there: `<uid>`, `<rv>`, `<ts>`, `<mf>`, `<age>`, `<rnd>`. Some bodies
//! are only the part that matters, which `part` cuts out of ours too.

#[cfg(test)]
#[path = "samples/compare.rs"]
mod compare;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{Ipv4Addr, SocketAddr};

    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt as _, Full};
    use serde_json::{Value, json};
    use tintype_apiserver::{Config, LocalService, Server};
    use tower::ServiceExt as _;

    use super::compare::{self, part};

    const SAMPLES: &str = include_str!("data/apiserver-samples.json");
    const FOREIGN_UID: &str = "11111111-1111-1111-1111-111111111111";

    /// What came back.
    struct Answer {
        code: u16,
        content_type: String,
        warning: Value,
        body: Value,
    }

    /// A caller, and the objects it made, as they were when made.
    struct Caller {
        service: LocalService,
        made: HashMap<String, Value>,
    }

    impl Caller {
        async fn ask(&self, method: &str, path: &str, headers: &Value, body: String) -> Answer {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in headers.as_object().into_iter().flatten() {
                request = request.header(name, value.as_str().unwrap());
            }
            let request = request.body(Full::new(Bytes::from(body))).unwrap();
            let answer = self.service.clone().oneshot(request).await.unwrap();
            let (parts, body) = answer.into_parts();
            let texts = |name: &str| -> Vec<String> {
                let all = parts.headers.get_all(name).iter();
                all.map(|value| value.to_str().unwrap().to_owned())
                    .collect()
            };
            let bytes = body.collect().await.unwrap().to_bytes();
            let warnings = texts("warning");
            let content_type = texts("content-type").concat();
            let content_type = content_type.split(';').next().unwrap().to_owned();
            let text = || json!(String::from_utf8_lossy(&bytes));
            Answer {
                code: parts.status.as_u16(),
                warning: if warnings.is_empty() {
                    Value::Null
                } else {
                    json!(warnings.join(", "))
                },
                body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
                content_type,
            }
        }

        async fn play(&mut self, step: &Value) -> Result<(), String> {
            let (name, request, expected) = (
                step["step"].as_str().unwrap(),
                &step["request"],
                &step["response"],
            );
            let path = request["path"].as_str().unwrap();
            let body = match &request["body"] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                object => self.filled_in(object, path).to_string(),
            };
            let method = request["method"].as_str().unwrap();
            let got = self.ask(method, path, &request["headers"], body).await;
            let same = |what: &str, expected: &Value, got: &Value| {
                if expected == got {
                    Ok(())
                } else {
                    Err(format!("{name}: {what} is {got}, not {expected}"))
                }
            };
            same("code", &expected["code"], &json!(got.code))
                .map_err(|why| format!("{why}: {}", got.body))?;
            same("content type", &expected["ctype"], &json!(got.content_type))?;
            same("warning", &expected["warning"], &got.warning)?;
            if method == "POST" && got.code == 201 {
                let made = got.body["metadata"]["name"].as_str().unwrap();
                self.made.insert(format!("{path}/{made}"), got.body.clone());
            }
            compare::bodies(&expected["body"], &part(name, got.body))
                .map_err(|why| format!("{name}: {why}"))
        }

        /// The body with real values for placeholders: those of the object when it was made, or, of
        /// one alone, a value that is surely wrong.
        fn filled_in(&self, body: &Value, path: &str) -> Value {
            let mut body = body.clone();
            let whole = body["metadata"]["managedFields"] == json!("<mf>");
            for at in ["/metadata", "/preconditions"] {
                let Some(fields) = body.pointer_mut(at).and_then(Value::as_object_mut) else {
                    continue;
                };
                for (name, value) in fields {
                    let wrong = match value.as_str() {
                        Some("<uid>") => json!(FOREIGN_UID),
                        Some("<rv>") => json!("1"),
                        Some("<ts>" | "<mf>") => Value::Null,
                        _ => continue,
                    };
                    *value = if whole {
                        self.made[path]["metadata"][name].clone()
                    } else {
                        wrong
                    };
                }
            }
            body
        }
    }

    #[tokio::test]
    async fn every_answer_is_that_of_a_real_server() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(Config {
            data_dir: folder.path().to_owned(),
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        })
        .unwrap();
        let mut caller = Caller {
            service: server.local("tester", &["system:masters"]),
            made: HashMap::new(),
        };
        let samples: Value = serde_json::from_str(SAMPLES).unwrap();
        let steps = samples["steps"].as_array().unwrap();
        let mut families: Vec<&str> = Vec::new();
        let mut different = Vec::new();
        for step in steps {
            let family = step["step"].as_str().unwrap().split('/').next().unwrap();
            if !families.contains(&family) {
                families.push(family);
                let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": format!("ad-{family}")}});
                let headers = json!({});
                let body = namespace.to_string();
                let made = caller
                    .ask("POST", "/api/v1/namespaces", &headers, body)
                    .await;
                assert_eq!(made.code, 201);
            }
            different.extend(caller.play(step).await.err());
        }
        assert_eq!(families, ["crud", "crd", "meta"]);
        assert_eq!(steps.len(), 107);
        assert!(
            different.is_empty(),
            "{} differ:\n{}",
            different.len(),
            different.join("\n\n")
        );
    }
}
