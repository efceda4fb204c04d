//! What clients send, in any encoding, and what they are warned of.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_refused_write_warns_all_the_same() {
    let world = World::new();
    let mut object = config_map("Not_Valid");
    object["bogus"] = json!(1);
    let refused = world.post(MAPS, object).await;
    assert_eq!(refused.warnings, ["299 - \"unknown field \\\"bogus\\\"\""]);
    refused.expect(422);
    let mut object = config_map("one");
    object["immutable"] = json!(true);
    world.post(MAPS, object.clone()).await.expect(201);
    object["data"]["a"] = json!("2");
    object["bogus"] = json!(1);
    let refused = world.put(&at("one"), object).await;
    assert_eq!(refused.warnings.len(), 1);
    refused.expect(422);
    let patch = json!({"data": {"a": "2"}, "bogus": 1});
    let refused = world.merge(&at("one"), patch).await;
    assert_eq!(refused.warnings.len(), 1);
    refused.expect(422);
}
