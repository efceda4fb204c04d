//! Checks tokens of service accounts from the request to the door.

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;

use super::*;
use crate::auth::ISSUER;
use crate::body;
use crate::tls::Answer as _;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

impl Sandbox {
    async fn robot(&self) -> Value {
        let robot = json!({ "metadata": { "name": "robot" } });
        self.create(ACCOUNTS, robot).await
    }

    async fn request(&self, spec: Value) -> Result<Value, CallError> {
        let path = format!("{ACCOUNTS}/robot/token");
        self.client
            .call(Call::create(path, json!({ "spec": spec })))
            .await
    }

    async fn token(&self, spec: Value) -> String {
        let answer = self.request(spec).await.expect("issued");
        answer["status"]["token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }

    /// Asks with a token and nothing else, as over TLS.
    async fn with_token(
        &self,
        token: &str,
        path: &str,
        object: Option<Value>,
    ) -> (StatusCode, Value) {
        let method = if object.is_some() { "POST" } else { "GET" };
        let body = object.map_or_else(body::empty, |object| body::full(object.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(body)
            .expect("request");
        let answer = self.server.inner.door.answer(request).await;
        let code = answer.status();
        let bytes = answer.into_body().collect().await.expect("body").to_bytes();
        let text = || json!(String::from_utf8_lossy(&bytes));
        (
            code,
            serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
        )
    }

    async fn review(&self, spec: Value) -> Value {
        let review = json!({ "spec": spec });
        self.create(REVIEWS, review).await["status"].take()
    }
}

#[tokio::test]
async fn a_token_makes_its_bearer_the_account() {
    let sandbox = sandbox();
    let robot = sandbox.robot().await;
    let answer = sandbox.request(json!({})).await.expect("issued");
    assert_eq!(
        answer["spec"],
        json!({ "audiences": [ISSUER], "expirationSeconds": 3600, "boundObjectRef": null })
    );
    assert!(answer["status"]["expirationTimestamp"].is_string());
    let token = answer["status"]["token"].as_str().expect("a token");
    let (code, me) = sandbox.with_token(token, SELF, Some(json!({}))).await;
    assert_eq!(code, StatusCode::CREATED, "{me}");
    let info = &me["status"]["userInfo"];
    assert_eq!(info["username"], "system:serviceaccount:default:robot");
    assert_eq!(info["uid"], robot["metadata"]["uid"]);
    let groups = [
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    ];
    assert_eq!(info["groups"], json!(groups));
    let (code, refused) = sandbox.with_token(token, "/api/v1/secrets", None).await;
    assert_eq!(code, StatusCode::FORBIDDEN, "{refused}");
    let (code, keys) = sandbox.with_token(token, "/openid/v1/jwks", None).await;
    assert_eq!(
        (code, &keys["keys"][0]["alg"]),
        (StatusCode::OK, &json!("ES256"))
    );
    let (_, issuer) = sandbox
        .with_token(token, "/.well-known/openid-configuration", None)
        .await;
    assert_eq!(issuer["issuer"], ISSUER);
    let path = format!("{ACCOUNTS}/robot");
    sandbox.delete(&path, json!({})).await;
    for path in ["/api", "/healthz"] {
        let (code, status) = sandbox.with_token(token, path, None).await;
        assert_eq!(code, StatusCode::UNAUTHORIZED, "{path}: {status}");
        assert_eq!(status["reason"], "Unauthorized");
    }
}

#[tokio::test]
async fn a_token_for_others_is_no_key_to_this_server() {
    let sandbox = sandbox();
    sandbox.robot().await;
    let token = sandbox.token(json!({ "audiences": ["vault"] })).await;
    let (code, _) = sandbox.with_token(&token, "/api", None).await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    let status = sandbox
        .review(json!({ "token": token, "audiences": ["vault", "db"] }))
        .await;
    assert_eq!(status["authenticated"], true);
    assert_eq!(status["audiences"], json!(["vault"]));
    assert_eq!(
        status["user"]["username"],
        "system:serviceaccount:default:robot"
    );
    let status = sandbox.review(json!({ "token": token })).await;
    assert!(status.get("authenticated").is_none(), "{status}");
    let why = status["error"].as_str().expect("why");
    assert!(why.contains("invalid for the target audiences"), "{why}");
    let status = sandbox.review(json!({ "token": "x.y.z" })).await;
    assert_eq!(
        status,
        json!({ "user": {}, "error": "[invalid bearer token, not a token of this server]" })
    );
}

#[tokio::test]
async fn a_token_of_a_pod_ends_with_the_pod() {
    let sandbox = sandbox();
    sandbox.robot().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({ "metadata": { "name": "p" }, "spec": {
        "serviceAccountName": "robot", "containers": [{ "name": "c", "image": "i" }] } });
    sandbox.create(pods, pod).await;
    let bound = json!({ "kind": "Pod", "apiVersion": "v1", "name": "p" });
    let token = sandbox.token(json!({ "boundObjectRef": bound })).await;
    let (_, me) = sandbox.with_token(&token, SELF, Some(json!({}))).await;
    let extra = &me["status"]["userInfo"]["extra"];
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], json!(["p"]));
    let path = format!("{pods}/p");
    sandbox
        .delete(&path, json!({ "gracePeriodSeconds": 0 }))
        .await;
    let (code, _) = sandbox.with_token(&token, "/api", None).await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn requests_for_tokens_are_checked() {
    let sandbox = sandbox();
    sandbox.robot().await;
    let other = json!({ "metadata": { "name": "other" }, "spec": {
        "containers": [{ "name": "c", "image": "i" }] } });
    sandbox
        .create("/api/v1/namespaces/default/pods", other)
        .await;
    let bound = |kind: &str, name: &str, uid: &str| json!({ "boundObjectRef": { "apiVersion": "v1", "kind": kind, "name": name, "uid": uid } });
    for (spec, code, why) in [
        (
            json!({ "expirationSeconds": 599 }),
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid \
             value: 599: may not specify a duration less than 10 minutes",
        ),
        (
            json!({ "expirationSeconds": 4_294_967_297_u64 }),
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid \
             value: 4294967297: may not specify a duration larger than 2^32 seconds",
        ),
        (bound("Pod", "none", ""), 404, "pods \"none\" not found"),
        (
            bound("Pod", "other", ""),
            400,
            "cannot bind token for serviceaccount \"robot\" to pod running with different \
             serviceaccount name.",
        ),
        (
            bound("Pod", "other", "u"),
            409,
            "Operation cannot be fulfilled on Pod \"other\": the UID in the bound object reference \
             (u) does not match the UID in record. The object might have been deleted and then \
             recreated",
        ),
        (
            bound("ConfigMap", "m", ""),
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
    ] {
        match sandbox.request(spec.clone()).await {
            Err(CallError::Refused {
                code: got, message, ..
            }) => assert_eq!((got, message.as_str()), (code, why)),
            other => panic!("{spec}: {other:?}"),
        }
    }
    let path = format!("{ACCOUNTS}/none/token");
    let missing = sandbox.client.call(Call::create(path, json!({}))).await;
    assert!(missing.expect_err("missing").is_not_found());
    let empty = sandbox
        .client
        .call(Call::create(REVIEWS, json!({ "spec": {} })))
        .await;
    let why = empty.expect_err("no token").to_string();
    assert!(why.contains("token is required for TokenReview"), "{why}");
}

#[tokio::test]
async fn an_account_in_the_process_is_as_good_as_its_account() {
    let sandbox = sandbox();
    let robot = LocalClient::new(sandbox.server.local_account("default", "robot"));
    let unknown = robot.call(Call::get("/api")).await.expect_err("no account");
    assert!(
        unknown.to_string().starts_with("401 Unauthorized"),
        "{unknown}"
    );
    let mut before = Value::Null;
    for _ in 0..2 {
        let account = sandbox.robot().await;
        let me = robot
            .call(Call::create(SELF, json!({})))
            .await
            .expect("known");
        let info = &me["status"]["userInfo"];
        assert_eq!(info["uid"], account["metadata"]["uid"]);
        assert_ne!(info["uid"], before);
        before = info["uid"].clone();
        sandbox
            .delete(&format!("{ACCOUNTS}/robot"), json!({}))
            .await;
        robot.call(Call::get("/api")).await.expect_err("gone");
    }
}
