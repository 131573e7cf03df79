/* doctor_checks.h - what belay doctor looks at */
#pragma once

#include <stdbool.h>

#include "cmd/ask_self.h"
#include "cmd/findings.h"

/* Who is examined. */
struct belay__patient {
	char wanted[BELAY__SOCKET_PATH_SIZE]; /* the socket asked for; "": the default ones */
	bool there;                           /* an observer answers: */
	char socket[BELAY__SOCKET_PATH_SIZE];
	struct belay__self self;
	uint64_t uid;
};

/* Each adds at least one finding. The first fills the patient in. */
void belay__check_observer(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_directory(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_roles(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_sandbox(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_queue(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_state(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_events(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_network(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_kernel(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_descriptors(struct belay__patient *patient, struct belay__findings *findings);
void belay__check_sight(struct belay__patient *patient, struct belay__findings *findings);
