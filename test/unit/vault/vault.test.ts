/** The vault: a piece opens where it was sealed, unaltered, under the key of its owner, and nowhere else. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addMasterKey, dropOlderMasterKeys, masterKeyPath } from '../../../server/adapters/master-key.ts';
import { fileMasterKey } from '../../../server/adapters/vault/file-master-key.ts';
import { type KeyFile, openKeyFile } from '../../../server/adapters/vault/key-file.ts';
import { contextOf, keyFrom, newKey, open, seal, Unreadable } from '../../../server/adapters/vault/seal.ts';
import { NOBODY, rewrapped, type Vault, vaultOver } from '../../../server/adapters/vault/vault.ts';
import { type MasterKey, UnknownMasterKey } from '../../../server/ports/master-key.ts';

const key = keyFrom(newKey(), 3);

describe('a sealed piece', () => {
  test('opens as it was, text and bytes', () =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.uint8Array({ maxLength: 500 }), (text, bytes) => {
        expect(open(key, 'here', seal(key, 'here', text)).toString()).toBe(Buffer.from(text).toString());
        expect(new Uint8Array(open(key, 'here', seal(key, 'here', bytes)))).toEqual(bytes);
      }),
    ));

  test('of which any bit turned, or any end was cut, does not open', () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(), fc.nat({ max: 7 }), (bytes, at, bit) => {
        const sealed = Buffer.from(seal(key, 'here', bytes));
        const place = at % sealed.length;
        sealed.writeUInt8(sealed.readUInt8(place) ^ (1 << bit), place);
        expect(() => open(key, 'here', sealed)).toThrow(Unreadable);
        const whole = seal(key, 'here', bytes);
        expect(() => open(key, 'here', whole.subarray(0, at % whole.length))).toThrow(Unreadable);
      }),
    ));

  test('opens for its own context and key alone, and no two are alike', () => {
    const sealed = seal(key, contextOf('version', 'Patient', 'a', '1'), 'x');
    expect(() => open(key, contextOf('version', 'Patient', 'a', '2'), sealed)).toThrow(Unreadable);
    expect(() => open(keyFrom(newKey(), 3), contextOf('version', 'Patient', 'a', '1'), sealed)).toThrow(Unreadable);
    expect(seal(key, 'here', 'x')).not.toEqual(seal(key, 'here', 'x'));
    expect(() => contextOf('a\0b')).toThrow('NUL');
  });
});

describe('a vault', () => {
  let folder: string;
  let path: string;
  let keys: KeyFile;
  let master: MasterKey;
  let vault: Vault;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'carnet-vault-'));
    path = masterKeyPath(undefined, join(folder, 'carnet.db'));
    master = fileMasterKey(path);
    keys = openKeyFile(join(folder, 'carnet.db.keys'), { master: master.current });
    vault = vaultOver(keys, master);
  });
  afterAll(() => {
    keys.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const reopened = (): Vault => vaultOver(keys, fileMasterKey(path));

  test('keeps persons apart, and apart from what is nobody’s', () => {
    const sealed = vault.seal('Patient/a', 'here', 'x');
    expect(vault.open('Patient/a', 'here', sealed).toString()).toBe('x');
    expect(() => vault.open('Patient/b', 'here', sealed)).toThrow(Unreadable);
    expect(() => vault.open(undefined, 'here', sealed)).toThrow(Unreadable);
    expect(reopened().open('Patient/a', 'here', sealed).toString()).toBe('x');
    expect(reopened().indexKey).toBe(vault.indexKey);
  });

  test('holds nothing unwrapped on disk', () => {
    keys.flush();
    const file = readFileSync(join(folder, 'carnet.db.keys'));
    const wal = readFileSync(join(folder, 'carnet.db.keys-wal'));
    for (const bytes of [file, wal]) expect(bytes.includes(Buffer.from(vault.indexKey, 'hex'))).toBe(false);
  });

  test('does not open with a wrapped key that was put in the place of another', () => {
    const sealed = vault.seal('Patient/c', 'here', 'x');
    vault.seal('Patient/d', 'here', 'x');
    const [stolen] = keys.find('Patient/d');
    const shelf = { ...keys, find: () => (stolen === undefined ? [] : [stolen]) };
    expect(() => vaultOver(shelf, master).open('Patient/c', 'here', sealed)).toThrow(Unreadable);
  });

  test('is moved to another master key in steps, both accepted meanwhile, and then only the new one', () => {
    const sealed = vault.seal('Patient/e', 'here', 'x');
    const old = readFileSync(path, 'utf8');
    const before = fileMasterKey(path);
    addMasterKey(path);
    const both = fileMasterKey(path);
    expect(both.current).not.toBe(before.current);
    expect(both.accepted).toContain(before.current);
    keys.useMaster(both.current);
    // One that started before learns of the new key when it meets it.
    const late = vaultOver(keys, before);
    late.seal('Patient/late', 'here', 'y');
    expect(keys.find('Patient/late')[0]?.wrapped.by).toBe(both.current);
    while (keys.count(both.current).other > 0) {
      keys.rewrap(both.current, 1, (owner, one) => rewrapped(both, owner, one, both.current));
      expect(reopened().open('Patient/e', 'here', sealed).toString()).toBe('x');
    }
    dropOlderMasterKeys(path);
    expect(reopened().open('Patient/e', 'here', sealed).toString()).toBe('x');
    writeFileSync(join(folder, 'old.key'), old, { mode: 0o600 });
    expect(() => vaultOver(keys, fileMasterKey(join(folder, 'old.key')))).toThrow(UnknownMasterKey);
  });

  test('whose key of a person is destroyed opens nothing of them any more; what comes later has another key', () => {
    const sealed = vault.seal('Patient/f', 'here', 'x');
    keys.flush();
    const [lost] = keys.find('Patient/f');
    expect(keys.destroy('Patient/f', 0)).toBe(1);
    vault.forget();
    expect(() => vault.open('Patient/f', 'here', sealed)).toThrow('does not exist any more');
    for (const name of ['carnet.db.keys', 'carnet.db.keys-wal'])
      expect(readFileSync(join(folder, name)).includes(Buffer.from(lost?.wrapped.bytes ?? []))).toBe(false);
    const later = vault.seal('Patient/f', 'here', 'y');
    expect(vault.open('Patient/f', 'here', later).toString()).toBe('y');
    expect(() => vault.open('Patient/f', 'here', sealed)).toThrow(Unreadable);
    expect(keys.destroyed()).toEqual(['Patient/f']);
    expect(keys.find(NOBODY)).toHaveLength(1);
  });

  test('without its key file is refused, and no new one is put in its place', () => {
    expect(() => openKeyFile(join(folder, 'missing.keys'), undefined)).toThrow('is missing');
    writeFileSync(join(folder, 'other.keys'), 'not a key file, but somebody wants it kept '.repeat(100));
    expect(() => openKeyFile(join(folder, 'other.keys'), { master: 'x' })).toThrow();
  });
});
