#include "observe/troubles.h"

#include <string.h>

static struct belay__trouble *add(struct belay__troubles *troubles, uint8_t kind, uint32_t uid,
	const char *name, uint32_t pid)
{
	struct belay__trouble *trouble = &troubles->troubles[troubles->next];

	troubles->next = (troubles->next + 1) % BELAY__TROUBLES_MAX;
	if (troubles->used < BELAY__TROUBLES_MAX)
		troubles->used++;
	*trouble = (struct belay__trouble){ .open = true, .kind = kind, .uid = uid, .pid = pid };
	memcpy(trouble->name, name, strnlen(name, sizeof(trouble->name) - 1));
	return trouble;
}

void belay__trouble_opens(struct belay__troubles *troubles, uint8_t kind, uint32_t uid,
	const char *name, uint32_t pid)
{
	(void)add(troubles, kind, uid, name, pid);
}

void belay__trouble_inherited(struct belay__troubles *troubles, uint8_t kind, uint32_t uid,
	const char *name)
{
	add(troubles, kind, uid, name, 0)->gone = true;
}

static bool befell(const struct belay__trouble *trouble, uint32_t uid, uint32_t pid)
{
	return trouble->open && trouble->pid == pid && pid != 0 && trouble->uid == uid;
}

bool belay__trouble_with(const struct belay__troubles *troubles, uint32_t uid, uint32_t pid)
{
	for (uint32_t i = 0; i < troubles->used; i++)
		if (befell(&troubles->troubles[i], uid, pid))
			return true;
	return false;
}

void belay__trouble_gone(struct belay__troubles *troubles, uint32_t uid, uint32_t pid)
{
	for (uint32_t i = 0; i < troubles->used; i++)
		if (befell(&troubles->troubles[i], uid, pid))
			troubles->troubles[i].gone = true;
}

static bool is_named(const struct belay__trouble *trouble, uint32_t uid, const char *name)
{
	return trouble->open && trouble->uid == uid && strcmp(trouble->name, name) == 0;
}

bool belay__trouble_is_open(const struct belay__troubles *troubles, uint8_t kind, uint32_t uid,
	const char *name)
{
	for (uint32_t i = 0; i < troubles->used; i++)
		if (troubles->troubles[i].kind == kind &&
			is_named(&troubles->troubles[i], uid, name))
			return true;
	return false;
}

static bool has_any(const struct belay__troubles *troubles, uint32_t uid, const char *name)
{
	for (uint32_t i = 0; i < troubles->used; i++)
		if (is_named(&troubles->troubles[i], uid, name))
			return true;
	return false;
}

bool belay__trouble_over(struct belay__troubles *troubles, uint32_t uid, const char *name,
	uint32_t pid)
{
	bool closed = false;

	for (uint32_t i = 0; i < troubles->used; i++) {
		struct belay__trouble *trouble = &troubles->troubles[i];

		if (!befell(trouble, uid, pid) || !is_named(trouble, uid, name))
			continue;
		trouble->open = false;
		closed = true;
	}
	return closed && !has_any(troubles, uid, name);
}

bool belay__trouble_replaced(struct belay__troubles *troubles, uint32_t uid, const char *name,
	uint32_t pid)
{
	struct belay__trouble *closed = NULL;

	for (uint32_t i = 0; i < troubles->used && closed == NULL; i++) {
		struct belay__trouble *trouble = &troubles->troubles[i];

		if (is_named(trouble, uid, name) && (trouble->gone || befell(trouble, uid, pid)))
			closed = trouble;
	}
	if (closed == NULL)
		return false;
	closed->open = false;
	return !has_any(troubles, uid, name);
}

bool belay__trouble_lifted(struct belay__troubles *troubles, uint8_t kind, uint32_t uid,
	const char *name)
{
	bool closed = false;

	for (uint32_t i = 0; i < troubles->used; i++) {
		struct belay__trouble *trouble = &troubles->troubles[i];

		if (trouble->kind != kind || trouble->pid != 0 || !is_named(trouble, uid, name))
			continue;
		trouble->open = false;
		closed = true;
	}
	return closed && !has_any(troubles, uid, name);
}
