import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { baseInstant, callerIn, instants, tameWorld, wildWorld } from './arbitraries.ts';
import { maySee, searchAllowed } from './decide.ts';
import { placeIn } from './time.ts';
import type { ConsentItem, Item, World, WorldCaller } from './world.ts';

const visible = (world: World, who: WorldCaller, now: number): ReadonlySet<string> =>
  new Set(world.items.filter((item) => maySee(world, who, item, now).permit).map((item) => `${item.type}/${item.id}`));

const without = (seen: ReadonlySet<string>, id: string): ReadonlySet<string> =>
  new Set([...seen].filter((one) => one !== id));

const anyConsent = (world: World): fc.Arbitrary<ConsentItem> =>
  fc.constantFrom(...world.items.filter((item): item is ConsentItem => item.type === 'Consent'));

const asked = (world: World): fc.Arbitrary<readonly [World, WorldCaller]> =>
  callerIn(world).map((who) => [world, who] as const);
const instant = fc.constantFrom(...instants);
const runs = { numRuns: 120 } as const;

describe('properties that any reading of the rules must have', () => {
  it('an active deny never adds a visible item', () => {
    fc.assert(
      fc.property(
        wildWorld.chain((world) => fc.tuple(fc.constant(world), anyConsent(world), callerIn(world))),
        instant,
        ([world, entry, who], now) => {
          if (entry.provision !== 'deny') return;
          const lesser: World = { ...world, items: world.items.filter((item) => item !== entry) };
          const before = visible(lesser, who, now);
          // events name items, so they may only disappear too
          for (const id of without(visible(world, who, now), `Consent/${entry.id}`)) expect(before).toContain(id);
        },
      ),
      runs,
    );
  });
  it('a permit never removes one, lifecycle apart', () => {
    fc.assert(
      fc.property(
        wildWorld.chain((world) => fc.tuple(fc.constant(world), anyConsent(world), callerIn(world))),
        instant,
        ([world, entry, who], now) => {
          if (entry.provision !== 'permit' || entry.kind === 'space-existence') return;
          const lesser: World = { ...world, items: world.items.filter((item) => item !== entry) };
          const after = visible(world, who, now);
          for (const id of visible(lesser, who, now)) expect(after).toContain(id);
        },
      ),
      runs,
    );
  });
  it('the order of items is irrelevant', () => {
    fc.assert(
      fc.property(wildWorld.chain(asked), instant, ([world, who], now) => {
        const turned: World = { ...world, items: [...world.items].reverse() };
        expect(visible(turned, who, now)).toEqual(visible(world, who, now));
      }),
      runs,
    );
  });
  it('an expired entry counts as none', () => {
    fc.assert(
      fc.property(tameWorld.chain(asked), instant, ([world, who], now) => {
        const expired = world.items.filter((item) => item.type === 'Consent' && placeIn(item.period, now) === 'out');
        const lesser: World = { ...world, items: world.items.filter((item) => !expired.includes(item)) };
        const gone = new Set(expired.map((item) => `Consent/${item.id}`));
        const before = [...visible(world, who, now)].filter((id) => !gone.has(id));
        expect(before.sort()).toEqual([...visible(lesser, who, now)].sort());
      }),
      runs,
    );
  });
  it('an emergency never shows a person’s items to one whom a block stands against', () => {
    fc.assert(
      fc.property(tameWorld.chain(asked), instant, ([world, who], now) => {
        if (who.kind !== 'professional' || world.policy.emergencyOverridesBlock) return;
        const block: ConsentItem = {
          type: 'Consent',
          id: 'block',
          person: 'p1',
          kind: 'professional-access',
          provision: 'deny',
          actors: [{ type: 'Practitioner', id: who.person }],
          status: 'active',
          writtenBy: { side: 'holder' },
        };
        const made: World = { ...world, items: [...world.items, block] };
        const about = made.items.filter((item) => 'person' in item && item.person === 'p1');
        expect(about.filter((item) => maySee(made, who, item, now).permit)).toEqual([]);
      }),
      runs,
    );
  });
  it('a patient claim shows nothing more, and only that person and the directory', () => {
    fc.assert(
      fc.property(wildWorld.chain(asked), instant, ([world, who], now) => {
        if (who.kind === 'patient' || who.kind === 'representative' || who.patient !== undefined) return;
        if (who.kind === 'professional' && who.purpose !== 'TREAT') return;
        const all = visible(world, who, now);
        const limited = visible(world, { ...who, patient: 'p2' }, now);
        for (const id of limited) expect(all).toContain(id);
        for (const item of world.items)
          if ('person' in item && item.person !== 'p2') expect(limited).not.toContain(`${item.type}/${item.id}`);
      }),
      runs,
    );
  });
  it('what is seen is of a type that may be searched', () => {
    fc.assert(
      fc.property(wildWorld.chain(asked), instant, ([world, who], now) => {
        const soleAuthor = (item: Item): boolean => item.type === 'Binary' && item.document === undefined;
        for (const item of world.items)
          if (maySee(world, who, item, now).permit && !soleAuthor(item))
            expect([item.type, searchAllowed(who, item.type, world.policy)]).toEqual([item.type, true]);
      }),
      runs,
    );
  });
});

describe('the worlds are worth asking', () => {
  it('each kind of caller and mode sees, and does not see, each type that it can', () => {
    const cells = new Map<string, { yes: number; no: number }>();
    const cases = fc.sample(
      wildWorld.chain((world) =>
        fc.tuple(fc.constant(world), fc.array(callerIn(world), { minLength: 8, maxLength: 8 })),
      ),
      { numRuns: 250, seed: 11 },
    );
    for (const [world, callers] of cases)
      for (const who of callers)
        for (const item of world.items) {
          const cell = `${who.kind === 'professional' ? who.purpose : who.kind} ${item.type}`;
          const count = cells.get(cell) ?? { yes: 0, no: 0 };
          count[maySee(world, who, item, baseInstant).permit ? 'yes' : 'no'] += 1;
          cells.set(cell, count);
        }
    const care = ['DocumentReference', 'Binary', 'List', 'Provenance', 'Immunization', 'RelatedPerson', 'Condition'];
    const rest = ['Coverage', 'Communication', 'Appointment', 'Consent', 'AuditEvent', 'CareTeam', 'Patient'];
    const both = [
      ...['patient', 'representative', 'TREAT'].flatMap((kind) => [...care, ...rest].map((type) => `${kind} ${type}`)),
      ...['BTG', 'ETREAT'].flatMap((mode) => care.map((type) => `${mode} ${type}`)),
      ...['DocumentReference', 'Immunization', 'Appointment', 'CareTeam', 'Patient', 'Task'].map(
        (type) => `feeder ${type}`,
      ),
      ...['Consent', 'CareTeam'].map((type) => `insurer ${type}`),
      ...['Consent', 'AuditEvent', 'Task'].map((type) => `operator ${type}`),
    ];
    const poor = both.filter((cell) => {
      const count = cells.get(cell) ?? { yes: 0, no: 0 };
      return count.yes === 0 || count.no === 0;
    });
    expect(poor).toEqual([]);
  });
});
