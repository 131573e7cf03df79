#include "observe/names.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* A fixed map from 64-bit keys; key 0 is "empty". Entries close ranks when one goes. */
struct entry {
	uint64_t key;
	uint32_t count; /* names.c: processes under this base name */
	uint32_t hint;  /* the lowest ordinal that may be free */
};

struct map {
	struct entry *entries;
	uint32_t mask;
};

struct belay__ordinals {
	struct map bases; /* (uid, comm) */
	struct map taken; /* (uid, comm, ordinal) */
	uint32_t capacity, used;
};

static uint64_t mix(uint64_t hash)
{
	hash ^= hash >> 33;
	hash *= UINT64_C(0xff51afd7ed558ccd);
	hash ^= hash >> 33;
	hash *= UINT64_C(0xc4ceb9fe1a85ec53);
	hash ^= hash >> 33;
	return hash != 0 ? hash : 1;
}

static uint64_t base_key(uint32_t uid, const char *comm)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ uid;

	for (; *comm != '\0'; comm++)
		hash = (hash ^ (uint8_t)*comm) * UINT64_C(0x100000001b3);
	return mix(hash);
}

static uint64_t ordinal_key(uint64_t base, uint32_t ordinal)
{
	return mix(base + ordinal);
}

/* The entry of KEY, or the empty one where it would go. Maps are at most half full, so there always
 * is one. */
static struct entry *find(const struct map *map, uint64_t key)
{
	uint32_t at = (uint32_t)key & map->mask;

	while (map->entries[at].key != 0 && map->entries[at].key != key)
		at = (at + 1) & map->mask;
	return &map->entries[at];
}

static void drop(struct map *map, struct entry *entry)
{
	uint32_t hole = (uint32_t)(entry - map->entries);

	for (uint32_t at = (hole + 1) & map->mask; map->entries[at].key != 0;
		at = (at + 1) & map->mask) {
		uint32_t home = (uint32_t)map->entries[at].key & map->mask;

		/* What still lies at or behind the hole as seen from its home may move into it. */
		if (((at - home) & map->mask) < ((at - hole) & map->mask))
			continue;
		map->entries[hole] = map->entries[at];
		hole = at;
	}
	map->entries[hole] = (struct entry){ 0 };
}

static int map_init(struct map *map, uint32_t capacity)
{
	uint32_t size = 2;

	while (size < 2 * capacity)
		size *= 2;
	map->mask = size - 1;
	map->entries = calloc(size, sizeof(*map->entries));
	return map->entries != NULL ? 0 : -ENOMEM;
}

int belay__ordinals_new(uint32_t capacity, struct belay__ordinals **ret_ordinals)
{
	struct belay__ordinals *ordinals = calloc(1, sizeof(*ordinals));

	if (ordinals == NULL)
		return -ENOMEM;
	ordinals->capacity = capacity;
	if (map_init(&ordinals->bases, capacity) < 0 || map_init(&ordinals->taken, capacity) < 0) {
		belay__ordinals_free(ordinals);
		return -ENOMEM;
	}
	*ret_ordinals = ordinals;
	return 0;
}

struct belay__ordinals *belay__ordinals_free(struct belay__ordinals *ordinals)
{
	if (ordinals == NULL)
		return NULL;
	free(ordinals->bases.entries);
	free(ordinals->taken.entries);
	free(ordinals);
	return NULL;
}

static bool take(struct belay__ordinals *ordinals, uint64_t base, uint32_t ordinal)
{
	struct entry *mark = find(&ordinals->taken, ordinal_key(base, ordinal));
	struct entry *entry;

	if (mark->key != 0 || ordinals->used >= ordinals->capacity)
		return false;
	mark->key = ordinal_key(base, ordinal);
	entry = find(&ordinals->bases, base);
	if (entry->key == 0)
		*entry = (struct entry){ .key = base, .hint = 1 };
	entry->count++;
	if (entry->hint == ordinal)
		entry->hint++;
	ordinals->used++;
	return true;
}

uint32_t belay__ordinal_take(struct belay__ordinals *ordinals, uint32_t uid, const char *comm)
{
	uint64_t base = base_key(uid, comm);
	const struct entry *entry = find(&ordinals->bases, base);
	uint32_t ordinal = entry->key != 0 ? entry->hint : 1;

	if (ordinals->used >= ordinals->capacity)
		return 0;
	while (!take(ordinals, base, ordinal))
		ordinal++;
	return ordinal;
}

bool belay__ordinal_take_this(struct belay__ordinals *ordinals, uint32_t uid, const char *comm,
	uint32_t ordinal)
{
	return ordinal != 0 && take(ordinals, base_key(uid, comm), ordinal);
}

void belay__ordinal_give_back(struct belay__ordinals *ordinals, uint32_t uid, const char *comm,
	uint32_t ordinal)
{
	uint64_t base = base_key(uid, comm);
	struct entry *mark = find(&ordinals->taken, ordinal_key(base, ordinal));
	struct entry *entry = find(&ordinals->bases, base);

	if (ordinal == 0 || mark->key == 0 || entry->key == 0)
		return;
	drop(&ordinals->taken, mark);
	ordinals->used--;
	if (ordinal < entry->hint)
		entry->hint = ordinal;
	if (--entry->count == 0)
		drop(&ordinals->bases, entry);
}

static bool glob_matches(const char *pattern, const char *text)
{
	return pattern[0] == '\0' || (text[0] != '\0' && fnmatch(pattern, text, 0) == 0);
}

static bool has_conditions(const struct belay__rule *rule)
{
	return rule->exe[0] != '\0' || rule->unit[0] != '\0' || rule->comm[0] != '\0' ||
		rule->uid >= 0;
}

static bool rule_satisfied(const struct belay__rule *rule, const struct belay__names *names,
	uint32_t uid)
{
	/* It is about other hosts. */
	if (rule->host[0] != '\0')
		return false;
	if (!has_conditions(rule))
		return strcmp(rule->name, names->env) == 0;
	return (rule->uid < 0 || rule->uid == (int64_t)uid) &&
		glob_matches(rule->exe, names->exe) && glob_matches(rule->unit, names->unit) &&
		glob_matches(rule->comm, names->comm);
}

int belay__rule_match(const struct belay__rule *rules, uint32_t count,
	const struct belay__names *names, uint32_t uid)
{
	for (uint32_t i = 0; i < count; i++)
		if (rule_satisfied(&rules[i], names, uid))
			return (int)i;
	return -1;
}

static void copy_name(struct belay__record *record, const char *name, enum belay__name_source source)
{
	size_t len = strnlen(name, BELAY__NAME_MAX);

	memset(record->name, 0, sizeof(record->name));
	memcpy(record->name, name, len);
	record->name_source = (uint8_t)source;
	record->ordinal = 0;
}

static void name_by_comm(struct belay__record *record, const char *comm,
	struct belay__ordinals *ordinals)
{
	struct belay__text text;

	copy_name(record, comm[0] != '\0' ? comm : "unknown", BELAY__NAME_COMM);
	record->ordinal = belay__ordinal_take(ordinals, record->uid, record->name);
	if (record->ordinal == 0)
		return;
	belay__text_init(&text, record->name + strlen(record->name),
		BELAY__NAME_MAX + 1 - strlen(record->name));
	belay__text_add(&text, "#");
	belay__text_add_u64(&text, record->ordinal);
}

void belay__name_record(struct belay__record *record, const struct belay__rule *rules,
	uint32_t rule_count, const struct belay__names *names, struct belay__ordinals *ordinals)
{
	int rule = belay__rule_match(rules, rule_count, names, record->uid);

	record->rule = (uint16_t)(rule + 1);
	if (rule >= 0)
		copy_name(record, rules[rule].name, BELAY__NAME_RULE);
	else if (names->env[0] != '\0')
		copy_name(record, names->env, BELAY__NAME_OWN);
	else if (names->unit[0] != '\0')
		copy_name(record, names->unit, BELAY__NAME_UNIT);
	else
		name_by_comm(record, names->comm, ordinals);
}

void belay__name_release(const struct belay__record *record, struct belay__ordinals *ordinals)
{
	char comm[sizeof(record->name)];
	const char *mark = strrchr(record->name, '#');

	if (record->name_source != BELAY__NAME_COMM || record->ordinal == 0 || mark == NULL)
		return;
	memcpy(comm, record->name, sizeof(comm));
	comm[mark - record->name] = '\0';
	belay__ordinal_give_back(ordinals, record->uid, comm, record->ordinal);
}

bool belay__name_self_given(enum belay__name_source source)
{
	return source == BELAY__NAME_OWN || source == BELAY__NAME_COMM;
}
