# The timestamps of all dead letters are changed as soon as one is refused.
set(file worker/lane/letter_form.c)
set(old [==[
learn_timestamps(form, batch, topic, false)]==])
set(new [==[
learn_timestamps(form, batch, topic, true)]==])
