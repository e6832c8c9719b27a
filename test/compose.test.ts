/** What `compose.yaml`, `Dockerfile` and `deploy/` say is what the code takes: settings, ports, files, versions. What they do: `test/slow/compose.test.ts`. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { composition, environmentOf, imageOf, root, servicesOf } from './support/compose.ts';

const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');
const services = servicesOf();
const servers = Object.entries(services).filter(([name]) => name.startsWith('carnet'));
const members = Object.entries(services).filter(([name]) => name.startsWith('mongo'));
const proxy = services['proxy'];

/** The settings that `server/config.ts` reads. */
const settings = new Set(textOf('server/config.ts').match(/CARNET_[A-Z_]+/g));

describe('compose.yaml', () => {
  it('has three members, two servers, one proxy, and the step that initiates', () => {
    expect(Object.keys(services)).toEqual(['mongo1', 'mongo2', 'mongo3', 'initiate', 'carnet1', 'carnet2', 'proxy']);
  });

  it('names settings that the server has, in each server the same, and every one that a server of a replica set needs', () => {
    for (const [name, service] of servers) {
      const named = [...JSON.stringify(service).matchAll(/CARNET_[A-Z_]+/g)].map(([setting]) => setting);
      expect([name, named.filter((setting) => !settings.has(setting))]).toEqual([name, []]);
      expect(named).toEqual(expect.arrayContaining(['CARNET_STORE', 'CARNET_MASTER_KEY_FILE', 'CARNET_ISSUERS']));
    }
    expect(services['carnet1']).toEqual(services['carnet2']);
  });

  it('gives the servers nothing that a test would set', () => {
    const { env } = imageOf();
    for (const [, service] of servers)
      expect(Object.keys({ ...env, ...environmentOf(service) }).filter((name) => /TEST|CLOCK/.test(name))).toEqual([]);
  });

  it('asks for a MongoDB that the server accepts', () => {
    const [, major, minor] =
      /OLDEST_SERVER = \[(\d+), (\d+)\]/.exec(textOf('server/adapters/store-mongo/database.ts')) ?? [];
    for (const [, { image, entrypoint }] of members) {
      const [, theirs, theirMinor] = /^mongo:(\d+)\.(\d+)$/.exec(image ?? '') ?? [];
      const [is, oldest] = [Number(theirs) * 100 + Number(theirMinor), Number(major) * 100 + Number(minor)];
      expect(is).toBeGreaterThanOrEqual(oldest);
      // One replica set, with the key that members know each other by, and no scripts of the server's side.
      expect(entrypoint?.join(' ')).toMatch(/--replSet carnet --keyFile \S+ --bind_ip_all --noscripting/);
    }
    expect(services['initiate']?.command?.join(' ')).toContain(
      `--members=${members.map(([name]) => `${name}:27017`).join(',')}`,
    );
  });

  it('runs the servers as the image says, on the port that it says, for the proxy and for nobody else', () => {
    const { env, cmd } = imageOf();
    for (const [name, service] of servers) {
      const set = { ...env, ...environmentOf(service) };
      expect(service.command?.at(-1)).toContain(`exec ${cmd.join(' ')}`);
      expect(service.ports).toBeUndefined();
      expect(textOf('deploy/nginx.conf')).toContain(`server ${name}:${set['CARNET_PORT']} `);
      expect(service.healthcheck?.test.join(' ')).toContain(`http://127.0.0.1:${set['CARNET_PORT']}/fhir/metadata`);
      expect(set['CARNET_HOST']).toBe('0.0.0.0');
      // A key that others read stops the start: the one who owns it runs the servers, and root owns nothing here.
      expect([service.user, service.read_only]).toEqual([expect.stringMatching(/^\$\{RUN_AS:\?/), true]);
    }
    expect(members.map(([, { ports }]) => ports)).toEqual([undefined, undefined, undefined]);
  });

  it('publishes the proxy alone, at the base of every link, and trusts no other address', () => {
    const [, host, port] = /^127\.0\.0\.1:(\d+):(\d+)$/.exec(proxy?.ports?.[0] ?? '') ?? [];
    const nginx = textOf('deploy/nginx.conf');
    expect(nginx).toContain(`listen ${port} ssl;`);
    for (const [, service] of servers) {
      const set = environmentOf(service);
      expect(set['CARNET_BASE_URL']).toBe(`https://localhost:${host}/fhir`);
      expect(set['CARNET_TRUST_PROXY']).toBe(proxy?.networks['inside']?.ipv4_address);
    }
    // A Binary of the size that the server takes by default passes.
    const largest = Number(
      /MAX_BINARY_BYTES\]: .*String\((\d+) \* 1024 \* 1024\)/.exec(textOf('server/config.ts'))?.[1],
    );
    expect(Number(/client_max_body_size (\d+)m;/.exec(nginx)?.[1])).toBeGreaterThan(largest);
  });

  it('mounts each secret that somebody reads, each made by deploy/secrets.sh, none of them in git or in the image', () => {
    const { secrets } = composition();
    const script = textOf('deploy/secrets.sh');
    for (const [name, { file }] of Object.entries(secrets)) {
      const [, made = ''] = /^\.\/deploy\/secrets\/([\w.]+)$/.exec(file) ?? [];
      expect(script, name).toContain(made);
    }
    const used = Object.values(services).flatMap((service) => service.secrets ?? []);
    expect([...new Set(used)].sort()).toEqual(Object.keys(secrets).sort());
    for (const service of Object.values(services)) {
      const text = `${JSON.stringify(service)}${service === proxy ? textOf('deploy/nginx.conf') : ''}`;
      const read = new Set([...text.matchAll(/\/run\/secrets\/(\w+)/g)].map(([, name]) => name ?? ''));
      expect([...read].sort()).toEqual([...(service.secrets ?? [])].sort());
    }
    expect(textOf('.gitignore')).toContain('/deploy/secrets/');
    expect(textOf('.dockerignore').split('\n').at(-2)).toBe('deploy/secrets');
  });

  it('starts each after what it needs', () => {
    for (const [, service] of servers)
      expect(service.depends_on).toEqual({ initiate: { condition: 'service_completed_successfully' } });
    expect(Object.keys(services['initiate']?.depends_on ?? {})).toEqual(members.map(([name]) => name));
    expect(services['initiate']?.network_mode).toBe('service:mongo1');
    expect(Object.keys(proxy?.depends_on ?? {})).toEqual(servers.map(([name]) => name));
  });
});

describe('the Dockerfile', () => {
  it('copies what is there, and .dockerignore lets it in', () => {
    const allowed = textOf('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'));
    for (const path of imageOf().copied) {
      expect(existsSync(join(root, path)), path).toBe(true);
      expect(allowed).toContain(`!${path}`);
    }
    expect(statSync(fileURLToPath(new URL('../deploy/secrets.sh', import.meta.url))).mode & 0o111).not.toBe(0);
  });

  it('builds on a Node and runs as nobody of importance', () => {
    const { from, user, env } = imageOf();
    // Debian: the runtime that npm brings is linked against its C library.
    expect(from).toMatch(/^node:24-bookworm/);
    expect(user).toBe('node');
    expect(Object.keys(env).filter((name) => !settings.has(name))).toEqual([]);
  });
});
