# The conflict is looked up by the command's id.
set(file worker/lane/settle.c)
set(old [==[
ids[at] = conflict_id_of(command->envelope.source, command->envelope.id, &command->digest);]==])
set(new [==[
ids[at] = command->audit_id;]==])
