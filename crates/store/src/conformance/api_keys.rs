//! API keys.

use clerkwork_core::{ApiKey, KeyId, Role, UnixMs};

use super::fixture::{Fixture, queue};
use crate::KnownKey;

fn known(key: &ApiKey, created_at: UnixMs) -> KnownKey {
    KnownKey::new(key, "Acme-1".parse().unwrap(), Role::Client, created_at)
}

fn ids(keys: &[KnownKey]) -> Vec<KeyId> {
    keys.iter().map(|key| key.id).collect()
}

pub async fn a_key_comes_back_as_it_was_made_and_holds_no_secret(fixture: &mut Fixture) {
    let store = &fixture.store;
    assert!(!store.any_keys().await.unwrap());
    let (plain, full) = (ApiKey::random(), ApiKey::random());
    let older = known(&plain, UnixMs(fixture.now.0 - 1));
    let newer = KnownKey {
        role: Role::Operator,
        queues: vec![queue("b"), queue("a")],
        note: Some("for the \"night\" run — ü".to_owned()),
        ..known(&full, fixture.now)
    };
    assert!(store.add_key(&newer).await.unwrap());
    assert!(store.add_key(&older).await.unwrap());
    assert!(store.any_keys().await.unwrap());
    let all = store.keys(None).await.unwrap();
    assert_eq!(all, [older.clone(), newer.clone()]);
    let unknown = ApiKey::random().id();
    let some = store.keys(Some(&[unknown, newer.id])).await.unwrap();
    assert_eq!(some, [newer]);
    assert!(store.keys(Some(&[])).await.unwrap().is_empty());
    assert!(plain.fits(&all[0].hash) && !full.fits(&all[0].hash));
}

pub async fn no_key_takes_the_place_of_another(fixture: &mut Fixture) {
    let store = &fixture.store;
    let key = ApiKey::random();
    let first = known(&key, fixture.now);
    assert!(store.add_key(&first).await.unwrap());
    let other = KnownKey {
        hash: ApiKey::random().hash(),
        tenant: "other".parse().unwrap(),
        ..first.clone()
    };
    assert!(!store.add_key(&other).await.unwrap());
    assert_eq!(store.keys(None).await.unwrap(), [first]);
}

pub async fn a_key_is_revoked_once_and_stays_in_the_list(fixture: &mut Fixture) {
    let store = &fixture.store;
    let (one, two) = (ApiKey::random(), ApiKey::random());
    assert!(!store.revoke_key(one.id(), fixture.now).await.unwrap());
    for key in [&one, &two] {
        assert!(store.add_key(&known(key, fixture.now)).await.unwrap());
    }
    assert!(store.revoke_key(one.id(), fixture.now).await.unwrap());
    let later = UnixMs(fixture.now.0 + 5);
    assert!(store.revoke_key(one.id(), later).await.unwrap());
    let all = store.keys(None).await.unwrap();
    assert_eq!(all.len(), 2);
    for key in &all {
        let revoked = (key.id == one.id()).then_some(fixture.now);
        assert_eq!(key.revoked_at, revoked);
    }
    assert!(store.revoke_key(two.id(), later).await.unwrap());
    assert!(store.any_keys().await.unwrap(), "revoked keys count too");
    assert_eq!(ids(&all).len(), 2);
}
